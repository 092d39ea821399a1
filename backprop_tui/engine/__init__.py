"""The engine: run a program once, keep what happened, and answer every question from that record.

Nothing here knows torch or the screen.
"""
