"""Training verifiers: collecting branches of runs, labelling them, and measuring what was learnt.

`collecting` runs a pair and keeps its branches; `examples` labels them and holds problems out;
`fitting` has a `trainer` learn and measures it with `quality`; `cards` says what came of it.
"""
