"""``python -m nbrpc.app`` is the ``nbrpc`` command as well."""

from __future__ import annotations

import sys

from nbrpc.app import main

if __name__ == "__main__":
    sys.exit(main())
