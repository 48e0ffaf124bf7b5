"""The service for ``nbrpc serve``, which takes a module and a name."""

from __future__ import annotations

from service import make_service

import nbrpc

Matrix = make_service(nbrpc)
