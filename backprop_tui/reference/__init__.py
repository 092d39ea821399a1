"""The reference: torch beside our own gradients, in a child process.

Only `reference.torch_run` imports torch, and only the child and the commands import that.
"""
