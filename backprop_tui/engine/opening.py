"""Opening a node: in the place of one fused call the program makes the same in primitive steps.

A program that is run with some nodes *open* gets, instead of `xp`, something that behaves like it
except in one case: where it asks for a function in order to assign the result to the name of an
open node (`f = xp.sigmoid(z)`), it is handed that function's primitive form. This works on the
tape and under torch alike: torch then runs the primitive steps under its own autograd.

The steps are those of a helper function, so they bear its names and are grouped by it; the result
keeps the name of the node that was opened (see `engine.graph`).
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from backprop_tui.engine.graph import Node
from backprop_tui.engine.primitives import FORMS
from backprop_tui.engine.provenance import assigned_call

Form = Callable[..., Any]
"""The primitive form of a function: called with `xp`, then with the arguments of that function."""

Opened = Mapping[str, Form | None]
"""The names of open nodes, each with its form; None for the usual one of the function called."""


def opening(xp: Any, opened: Opened | None) -> Any:
    """`xp`, such that the nodes in `opened` are computed in primitive steps."""
    return _Opening(xp, xp, opened) if opened else xp


def function_called(node: Node) -> str | None:
    """The name of the function of `xp` that one call of the program computes this node with.

    None for what is written as an operator or a method, and for what has no name of its own.
    """
    if node.op is None or node.place is None or not node.name.named:
        return None
    site = node.place.site
    if site.name is None or site.text is None:
        return None
    call = _parsed(site.text)
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    owner = call.func.value
    plain = isinstance(owner, ast.Name) and owner.id in ("xp", "F", *_NAMESPACES)
    return call.func.attr if plain or _is_namespace(owner) else None


def _is_namespace(owner: ast.expr) -> bool:
    return isinstance(owner, ast.Attribute) and owner.attr in _NAMESPACES


@lru_cache(maxsize=1024)
def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


class _Opening:
    """Hands on what `xp` has, or the primitive form of a function where a node is open."""

    def __init__(self, root: Any, part: Any, opened: Opened) -> None:
        self._root = root
        self._part = part
        self._opened = opened

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name in _NAMESPACES:
            return _Opening(self._root, found, self._opened)
        frame = sys._getframe(1)
        assigned = assigned_call(frame.f_code, frame.f_lasti)
        if assigned is None or assigned not in self._opened:
            return found
        form = self._opened[assigned] or FORMS.get(name)
        return found if form is None else partial(form, self._root)


_NAMESPACES = ("nn", "functional", "linalg")
"""Parts of torch in which functions are looked up."""
