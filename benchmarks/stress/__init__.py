"""Behaviour under load: ``python -m benchmarks.stress [ROW ...] [--short]``.

Each row prints its figures and whether they are what nbrpc promises; the program ends with 1 if a
row failed. The server of every row is another process. `server` is its program, `bench` starts it,
`calls`, `endings` and `memory` hold the rows.
"""
