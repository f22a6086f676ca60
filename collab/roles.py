"""The two roles of a pair. Roles, not sizes; further mentors have names of their own."""

GENERATOR = "generator"
MENTOR = "mentor"
