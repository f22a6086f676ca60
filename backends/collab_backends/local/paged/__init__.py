"""Passes over pages: many texts in one pool of memory, decoded by what a device can replay."""
