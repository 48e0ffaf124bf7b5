"""Live connections: the only place with threads, locks and waiting."""
