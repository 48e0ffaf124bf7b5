"""``python -m nbrpc`` is the ``nbrpc`` command."""

from __future__ import annotations

import sys

from nbrpc.app import main

if __name__ == "__main__":
    sys.exit(main())
