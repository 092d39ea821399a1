"""Layered drawings of computation graphs in text cells.

The steps are those of Sugiyama, Tagawa and Toda: ranks (`regions`), dummies on long links
(`hierarchy`), the order within ranks (`ordering`), columns (`placement`), then ports and tracks
(`wiring`, `channels`), and at last strokes and text (`drawing`).
"""

from .layout import lay_out
from .model import Block, Box, Drawing, Link, Owners, Place, Routes

__all__ = ["Block", "Box", "Drawing", "Link", "Owners", "Place", "Routes", "lay_out"]
