"""What hostile peers and broken networks can do: ``python -m benchmarks.trust [row ...]``.

One row for each line of the scoreboard, T1 to T17, each with our figures, RPyC's and the bars. The
rows of a topic are in a module of their own; every module of this package is loaded, and what it
registers with `rows.row` is a row. The exit code is 1 where a figure falls short of its bar.
"""
