"""Problems, and reading them from files and data sets."""

from collab.problems.problem import BrokenLine, Problem, read_problems

__all__ = ["BrokenLine", "Problem", "read_problems"]
