"""RPyC's wire, as RPyC 4.1 to 6.0 speak it: bytes to messages and back, with limits; no I/O."""
