"""Make all screenshots anew from the running program: `python3 dev.py screenshots`.

Each picture is an SVG, and a PNG beside it where Chromium or rsvg-convert is installed (with the
font Fira Code; on Debian: chromium or librsvg2-bin, and fonts-firacode).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot

from backprop_tui.lessons import find_lesson
from backprop_tui.tui.app import BackpropApp
from backprop_tui.tui.home import HomeScreen
from backprop_tui.tui.lesson_screen import LessonScreen
from backprop_tui.tui.state_screen import StateScreen

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Picture:
    """A screenshot: what is opened, which keys are pressed, how large the terminal is."""

    name: str
    lesson: str | None
    size: tuple[int, int]
    keys: tuple[str, ...] = ()
    theme: str | None = None

    @property
    def file(self) -> str:
        return f"{self.name}-{self.size[0]}x{self.size[1]}"


STEP = "right"
PICTURES = (
    Picture("home", None, (120, 40), ("down",) * 9),
    Picture("home", None, (80, 24), ("down",) * 6),
    Picture("tanh-recursion", "tanh-recursion", (120, 40), ("b", STEP, STEP, STEP)),
    Picture("tanh-recursion", "tanh-recursion", (80, 24), ("b", STEP, STEP)),
    Picture("rnn", "rnn", (160, 50), ("b", *(STEP,) * 9)),
    Picture("rnn", "rnn", (80, 24), ("b", *(STEP,) * 9, "2")),
    Picture("batchnorm", "batchnorm", (160, 50), ("b", *(STEP,) * 4)),
    Picture("transformer-block", "transformer-block", (160, 50), ("b", *(STEP,) * 5)),
    Picture("forms", "softmax", (120, 40), ("end", "O")),
    Picture("about", "diamond", (120, 40), ("a", "1")),
    Picture("light", "squared-loss", (120, 40), ("end",), "backprop-light"),
    Picture("equations", "tanh-recursion", (120, 40), ("end", "v")),
    Picture("editing", "matrix-linear", (120, 40), ("end", "e", "down", "right", *"-2.5")),
    Picture("inspector", "matrix-linear", (120, 40), ("end", "k", "k", "k", "enter", STEP)),
    Picture("plot", "vanishing", (120, 40), ("P",)),
    Picture("plot", "tanh-recursion", (80, 24), ("P",)),
    Picture("heat", "matrix-linear", (120, 40), ("end", "k", "k", "k", "enter", STEP, "m")),
    Picture("help", "linear", (120, 40), ("?",)),
    Picture("plumbing", "plumbing", (160, 50), ("s", *(STEP,) * 10)),
    Picture("plumbing", "plumbing", (80, 24), ("s", *(STEP,) * 6)),
)


async def take(picture: Picture) -> str:
    """The screen as SVG, once torch has answered."""
    lesson = find_lesson(picture.lesson) if picture.lesson else None
    app = BackpropApp(lesson)
    if picture.theme:
        app.theme = picture.theme
    async with app.run_test(size=picture.size) as pilot:
        await all_is_there(pilot)
        await pilot.press(*picture.keys)
        await all_is_there(pilot)
        await pilot.pause()
        svg = app.export_screenshot(title="backprop-tui")
    # No font from the network, and blanks as they are.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("<text ", '<text xml:space="preserve" ')


async def all_is_there(pilot: Pilot[None]) -> None:
    """Wait until torch stands beside, or at home the equations of the lesson under the cursor."""
    while isinstance(screen := pilot.app.screen, LessonScreen | StateScreen):
        beside = screen.comparison if isinstance(screen, StateScreen) else screen.beside.summary()
        if beside is not None:
            return
        await pilot.pause(0.05)
    while isinstance(screen := pilot.app.screen, HomeScreen) and not screen.complete:
        await pilot.pause(0.05)


def to_png(svg: Path, png: Path) -> bool:
    """Turn an SVG into a PNG with whatever can; says whether anything could."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())[0]
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium:
        with tempfile.TemporaryDirectory() as profile:
            command = [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--disable-background-networking", "--disable-sync", "--disable-component-update",
                "--no-first-run", f"--user-data-dir={profile}", f"--screenshot={png}",
                f"--window-size={round(float(width))},{round(float(height))}", svg.as_uri(),
            ]  # fmt: skip
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
    if shutil.which("rsvg-convert"):
        return subprocess.run(["rsvg-convert", svg, "-o", png], check=False).returncode == 0
    return False


def main(wanted: list[str]) -> int:
    """Make all pictures, or those whose name contains one of the words."""
    for picture in PICTURES:
        if wanted and not any(word in picture.file for word in wanted):
            continue
        svg = FOLDER / f"{picture.file}.svg"
        svg.write_text(asyncio.run(take(picture)))
        made = to_png(svg.resolve(), FOLDER.resolve() / f"{picture.file}.png")
        print(svg.name, "and PNG" if made else "(no PNG: neither chromium nor rsvg-convert)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
