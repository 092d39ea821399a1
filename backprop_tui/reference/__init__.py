"""The reference: torch beside our own gradients, in a child process.

Only `reference.torch_run` and `reference.torch_script` import torch, and only the child and the
commands import those.
"""
