"""Where Textual meets the terminal: what it draws, and what it makes of what the terminal sends."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from textual._xterm_parser import XTermParser
from textual.driver import Driver
from textual.events import Paste
from textual.message import Message
from textual.scrollbar import ScrollBarRender

PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"


class PlainScrollBar(ScrollBarRender):
    """Scrollbars made of blanks only."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "]
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "]


class PasteParser(XTermParser):
    """Takes pastes in whole pieces.

    Textual's own takes them apart character by character: 10 MB keep it, and the screen, busy for
    half a minute.
    """

    _paste: list[str] | None = None

    def feed(self, data: str) -> Iterator[Message]:
        if self._paste is None:
            before, start, after = data.partition(PASTE_BEGINS)
            if before or not start:
                yield from super().feed(before)
            if not start:
                return
            self._paste, data = [], after
        # The mark of the end may come in two pieces.
        held = self._paste.pop() if self._paste else ""
        text, end, after = (held + data).partition(PASTE_ENDS)
        if not end:
            self._paste += [text[:-5], text[-5:]]
            return
        pasted = "".join(self._paste) + text
        self._paste = None
        yield Paste(pasted.replace("\x00", ""))
        if after:
            yield from self.feed(after)


def tolerant(driver: type[Driver]) -> type[Driver]:
    """The driver, made to stand what a terminal may send.

    Textual's own also ends with a traceback at the first byte that is no UTF-8.
    """
    if driver.__name__ != "LinuxDriver":
        return driver
    from textual.drivers import linux_driver

    module: Any = linux_driver

    class TolerantDriver(linux_driver.LinuxDriver):
        """Replaces the decoder and the parser of the thread that reads."""

        def run_input_thread(self) -> None:
            module.XTermParser = PasteParser
            module.getincrementaldecoder = lambda encoding: partial(
                codecs.getincrementaldecoder(encoding), "replace"
            )
            super().run_input_thread()

    return TolerantDriver
