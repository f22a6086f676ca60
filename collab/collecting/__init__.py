"""Collecting: working through problems, and keeping what comes of each on disk.

`harness` works through a `Collection`, `reading` reads what was kept, `states` keeps hidden states.
`collab.training`, `collab.extraction` and `collab.calibrating` say what is collected and why.
"""
