"""Combinators: policies that are made of other policies.

`combined`, `several` and `single` hold what they share; every other module is one combinator.
"""
