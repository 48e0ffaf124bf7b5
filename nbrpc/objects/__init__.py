"""What one connection knows about objects: tables, names, descriptions, failures.

Nothing here blocks, locks, opens or waits; the session decides when any of it runs. `static` looks
at objects without running their code; `access` decides which names a peer may reach, and every
operation goes through it; `describe` and `signatures` say what a class looks like; `failures` turns
exceptions into plain data and back; `text` makes foreign text fit to be shown.
"""
