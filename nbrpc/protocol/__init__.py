"""Bytes to messages and back, with states and limits; no I/O, and the clock is an argument."""
