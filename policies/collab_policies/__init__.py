"""Decision policies, verifiers and recipes that ship with Collab: one file, one plug-in."""
