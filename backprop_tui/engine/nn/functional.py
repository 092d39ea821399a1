"""`xp.nn.functional`: torch.nn.functional's names and conventions, on the tape.

Each function must mean what torch's function of that name means. What torch has under
`torch.…` too is defined once and imported by `backprop_tui.engine.xp`.
"""

from __future__ import annotations

from backprop_tui.engine.operations import functions
from backprop_tui.engine.tape import unary

relu, tanh, sigmoid = unary(functions.Relu), unary(functions.Tanh), unary(functions.Sigmoid)
