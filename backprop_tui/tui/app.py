"""The app: screens, themes, what is remembered, and the process that computes beside."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.segment import Segment
from textual import work
from textual.actions import SkipAction
from textual.app import App, SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.command import CommandList, CommandPalette
from textual.css.query import NoMatches
from textual.driver import Driver
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender

from backprop_tui.lessons import catalogue, find_lesson, number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.state import State, StateStore
from backprop_tui.tui import themes
from backprop_tui.tui.driver import PlainScrollBar, tolerant
from backprop_tui.tui.glyphs import plain
from backprop_tui.tui.help import WindowSized
from backprop_tui.tui.home import HomeScreen
from backprop_tui.tui.lesson_screen import LessonScreen

if TYPE_CHECKING:
    from backprop_tui.reference.client import ReferenceClient
    from backprop_tui.reference.protocol import Message


class InAscii(LineFilter):
    """Makes ASCII of what is left: borders and titles, keys, messages, Textual's dialogues."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else segment._replace(text=plain(segment.text, True))
            for segment in segments
        ]


IN_ASCII = InAscii()


class BottomScreen(WindowSized, Screen[None]):
    """The empty one under all others."""


class Palette(WindowSized, CommandPalette):
    """Textual's, which a key or two at the wrong moment would make end the program."""

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)
    async def _gather_commands(self, search_value: str) -> None:
        with contextlib.suppress(NoMatches):  # it is closed already
            await self._gather(self, search_value)

    _gather = staticmethod(CommandPalette._gather_commands.__wrapped__)  # type: ignore[attr-defined]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.query(CommandList))  # it is neither opening nor closing

    def _action_command_list(self, action: str) -> None:
        with contextlib.suppress(NoMatches, KeyError):  # its list is not laid out yet
            super()._action_command_list(action)


class BackpropApp(App[None]):
    """The program."""

    TITLE = "backprop-tui"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = True

    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority, or they would do nothing in help, inspector, prompt and palette.
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, id="app.quit",
                tooltip="Leave the program"),
        Binding("ctrl+c", "interrupt", show=False, priority=True, id="app.interrupt"),
        Binding("ctrl+t", "toggle_theme", "Light or dark", show=False, id="app.theme",
                tooltip="Switch between the light and the dark theme"),
        Binding("ctrl+p", "command_palette", "Commands", show=False, id="app.commands",
                tooltip="Every action and every lesson, to search in"),
    ]  # fmt: skip

    ascii: reactive[bool] = reactive(False)

    def __init__(
        self,
        lesson: Lesson | None = None,
        store: StateStore | None = None,
        *,
        ascii: bool = False,
        reference: bool = True,
    ) -> None:
        """`reference` false: nothing is computed beside (for tests of the screen alone)."""
        super().__init__()
        self._with_reference = reference
        self._client: ReferenceClient | None = None
        self._asking: LessonScreen | None = None
        self._torch_word = "loading" if reference else "off"
        self._store = store if store is not None else StateStore(None)
        self.state, self._problem = self._store.load()
        self._first_lesson = lesson
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        wanted = self.state.theme
        self.theme = wanted if wanted in self.available_themes else themes.DARK.name
        self.set_reactive(BackpropApp.ascii, ascii or self.state.ascii)
        ScrollBar.renderer = PlainScrollBar if self.ascii else ScrollBarRender

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, IN_ASCII] if self.ascii else filters

    def get_default_screen(self) -> Screen[Any]:
        return BottomScreen(id="_default")

    def get_driver_class(self) -> type[Driver]:
        return tolerant(super().get_driver_class())

    def on_load(self) -> None:
        self._end_on_signals()  # before the terminal is touched

    def on_mount(self) -> None:
        if self._first_lesson is not None:
            self.open_lesson(self._first_lesson)
        else:
            self.push_screen(HomeScreen(self.state.last_lesson))
        self.theme_changed_signal.subscribe(self, lambda theme: self.remember(theme=theme.name))
        self.call_after_refresh(self._after_first_paint)

    async def _after_first_paint(self) -> None:
        """What need not hold up the first paint."""
        # All that was imported and built so far stays. Collecting garbage would walk over it again
        # and again, and hold up a key for 50 ms each time.
        if not gc.get_freeze_count():
            gc.freeze()
        if self._problem:
            self.notify(self._problem, severity="warning", timeout=10, markup=False)
        await self.start_reference()

    def _end_on_signals(self) -> None:
        """End properly, with the terminal restored, when told to from outside."""
        for name in ("SIGTERM", "SIGHUP", "SIGINT"):
            number = getattr(signal, name, None)
            if number is None:
                continue  # not on this system
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                asyncio.get_running_loop().add_signal_handler(
                    number, self.exit, None, 128 + int(number)
                )

    # ── screens ───────────────────────────────────────────────────────────────────────────

    def open_lesson(self, lesson: Lesson) -> None:
        """Show a lesson, from the beginning."""
        self.remember(last_lesson=lesson.id)
        self._show_instead(LessonScreen(lesson))

    def show_home(self) -> None:
        """Show the lessons."""
        self._show_instead(HomeScreen(self.state.last_lesson))

    def pop_screen(self) -> AwaitComplete:
        """Close a dialogue. One that is told so twice must not take the lesson with it."""
        if len(self.screen_stack) <= 2:
            return AwaitComplete()
        return super().pop_screen()

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette(id="--command-palette"))

    def _show_instead(self, screen: Screen[Any]) -> None:
        while len(self.screen_stack) > 2:
            self.pop_screen()
        if len(self.screen_stack) > 1:
            self.switch_screen(screen)
        else:
            self.push_screen(screen)

    # ── remembering ───────────────────────────────────────────────────────────────────────

    def remember(self, **changes: Any) -> None:
        """Keep something for the next start. What cannot be saved is said once."""
        changed = replace(self.state, **changes)
        if changed == self.state:
            return
        self.state = changed
        problem = self._store.save(changed)
        if problem and problem != self._problem:
            self._problem = problem
            self.notify(problem, severity="warning", timeout=10, markup=False)

    def mark_done(self, lesson_id: str) -> None:
        """A lesson was stepped through to the end."""
        if lesson_id not in self.state.done:
            self.remember(done=self.state.done | {lesson_id})

    def action_interrupt(self) -> None:
        """Ctrl+C: leave the program, unless there is text to copy, selected with the mouse."""
        if self.screen.get_selected_text():
            raise SkipAction
        self.exit()

    def action_toggle_theme(self) -> None:
        self.theme = themes.LIGHT.name if self.current_theme.dark else themes.DARK.name

    # ── torch beside ──────────────────────────────────────────────────────────────────────

    async def start_reference(self) -> None:
        """Start the process that runs torch; after the first paint."""
        if not self._with_reference:
            return
        from backprop_tui.reference.client import ReferenceClient

        self._client = ReferenceClient(self._reference_says)
        await self._client.start()
        self._ask_for_the_open_lesson()

    def _ask_for_the_open_lesson(self) -> None:
        """Have what is open computed beside, also where something stands in front of it."""
        for screen in self.screen_stack:
            if isinstance(screen, LessonScreen) and screen.ready:
                self.ask_reference(screen)

    def ask_reference(self, screen: LessonScreen) -> None:
        """Have a lesson's present inputs computed beside. What was asked before is dropped."""
        screen.beside_pending(self._torch_word)
        if self._client is not None:
            inputs = screen.session.inputs
            lesson = screen.session.lesson.id
            self._client.request(
                lesson,
                inputs.leaves,
                inputs.sizes,
                edges=True,
                opened=inputs.opened,
                script=screen.session.lesson.script is not None,
            )
            self._asking = screen

    def _reference_says(self, message: Message) -> None:
        """A message of the process beside; the client has dropped stale ones already."""
        from backprop_tui.reference import protocol

        screen = self._asking if self._asking in self.screen_stack else None
        match message:
            case protocol.TorchReply(run=run):
                self._torch_word = "…"
                if screen is not None:
                    screen.beside_arrived(torch=run)
            case protocol.NumericReply(run=run):
                if screen is not None:
                    screen.beside_arrived(numeric=run)
            case protocol.ScriptReply(run=run):
                if screen is not None:
                    screen.script_arrived(run)
            case protocol.Failed(what="script", reason=reason):
                self.notify(f"The script failed: {reason}", severity="warning", markup=False)
            case protocol.TorchLoaded():
                self._torch_word = "…"
            case protocol.TorchMissing(reason=reason):
                self._torch_is_missing(f"torch is missing: {reason}", screen)
            case protocol.Failed(what="torch", reason=reason):
                if screen is not None:
                    screen.beside_missing(f"torch failed: {reason}")
            case protocol.Restarting():
                self._torch_word = "loading"
                if screen is not None:
                    screen.beside_pending(self._torch_word)
            case protocol.GaveUp(reason=reason):
                self._torch_is_missing(f"torch stopped: {reason}", screen)

    def _torch_is_missing(self, reason: str, screen: LessonScreen | None) -> None:
        self._torch_word = "missing"
        text = f"{reason}. Everything else goes on."
        self.notify(text, severity="warning", timeout=8, markup=False)
        if screen is not None:
            screen.beside_missing(reason)

    def restart_reference(self) -> None:
        """Try again after the process beside was given up."""
        if self._client is not None and self._client.gave_up is not None:
            self._torch_word = "loading"
            self._client.restart()
            self._ask_for_the_open_lesson()

    async def on_unmount(self) -> None:
        if self._client is not None:
            await self._client.close()

    # ── commands ──────────────────────────────────────────────────────────────────────────

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for lesson in catalogue():
            yield SystemCommand(
                f"Lesson {number_of(lesson)}: {lesson.title}",
                f"{lesson.chapter}: open {lesson.id}",
                lambda lesson=lesson: self.open_lesson(lesson),
            )
        seen: set[str] = set()
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id is None or binding.id in seen or not binding.description:
                continue
            seen.add(binding.id)
            yield SystemCommand(
                binding.description,
                f"{binding.tooltip or binding.description} ({self.get_key_display(binding)})",
                lambda a=active: self._run_binding(a),
            )
        yield SystemCommand(
            "Restart torch", "Try again after torch has stopped", self.restart_reference
        )
        yield from super().get_system_commands(screen)

    async def _run_binding(self, active: Any) -> None:
        await self.run_action(active.binding.action, active.node)


def run(lesson_id: str | None, store: StateStore, *, ascii: bool = False) -> int:
    """Run the app; returns the exit code. Raises UnknownLesson before the screen is touched."""
    lesson = find_lesson(lesson_id) if lesson_id is not None else None
    app = BackpropApp(lesson, store, ascii=ascii)
    # What libraries have to log must not be written over the screen, nor after it.
    logging.getLogger().addHandler(logging.NullHandler())
    app.run()
    return app.return_code or 0


__all__ = ["BackpropApp", "State", "run"]
