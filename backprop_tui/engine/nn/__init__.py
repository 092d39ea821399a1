"""`xp.nn`: what torch keeps in `torch.nn`, as far as programs of ours need it."""

from backprop_tui.engine.nn import functional

__all__ = ["functional"]
