"""How quick nbrpc is, beside raw sockets and other RPC libraries; figures only, nothing asserted.

``python -m benchmarks`` measures speed, ``python -m benchmarks.stress`` behaviour under load.

`target` is what every server exposes, `peers` has one module for each library, `measures` says what
is measured, `worker` is the program of the processes that `processes` starts, `report` prints.
"""
