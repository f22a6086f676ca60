"""Backends that ship with Collab: one folder, one way to reach models."""
