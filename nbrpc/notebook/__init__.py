"""The Jupyter layer: magics, displays and the pump; loaded by ``%load_ext nbrpc``."""
