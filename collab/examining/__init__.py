"""Examining a pair before a run: what works, what is missing, and whether it pays."""
