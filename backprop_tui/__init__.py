"""A time-travelling debugger for gradients that runs in a terminal."""

__version__ = "0.2.0"
