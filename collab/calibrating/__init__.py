"""Calibration: thresholds of a policy for a wanted share of the mentor, from held-out problems."""
