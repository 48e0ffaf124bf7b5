"""Reaching servers through other programs: a command's standard input and output, and ssh."""
