"""Byte pipes: what carries the bytes of a connection. Nothing here knows what a message is."""
