"""Runs: a configuration, the problems it is worked through with, and the directory it leaves."""
