"""RPyC by name: what ``import rpyc`` gives after ``nbrpc.install_as_rpyc()``.

`table` says which name of which RPyC module lives where in nbrpc; `install` makes the modules. The
rest is a thin layer over nbrpc's own client and servers with RPyC's signatures and defaults.
"""
