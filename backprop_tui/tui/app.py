"""The app: screens, themes, what is remembered, and the process that computes beside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.reactive import reactive
from textual.screen import Screen

from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson
from backprop_tui.state import State, StateStore
from backprop_tui.tui import themes
from backprop_tui.tui.home import HomeScreen
from backprop_tui.tui.lesson_screen import LessonScreen


class BackpropApp(App[None]):
    """The program."""

    TITLE = "backprop-tui"
    CSS_PATH = Path(__file__).with_name("app.tcss")
    ENABLE_COMMAND_PALETTE = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q", "quit", "Quit", show=False, id="app.quit", tooltip="Leave the program"),
        Binding("ctrl+t", "toggle_theme", "Light or dark", show=False, id="app.theme",
                tooltip="Switch between the light and the dark theme"),
        Binding("ctrl+p", "command_palette", "Commands", show=False, id="app.commands",
                tooltip="Every action and every lesson, to search in"),
    ]  # fmt: skip

    ascii: reactive[bool] = reactive(False)

    def __init__(
        self, lesson: Lesson | None = None, store: StateStore | None = None, *, ascii: bool = False
    ) -> None:
        super().__init__()
        self._store = store if store is not None else StateStore(None)
        self.state, self._problem = self._store.load()
        self._first_lesson = lesson
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        wanted = self.state.theme
        self.theme = wanted if wanted in self.available_themes else themes.DARK.name
        self.set_reactive(BackpropApp.ascii, ascii or self.state.ascii)

    def on_mount(self) -> None:
        if self._first_lesson is not None:
            self.open_lesson(self._first_lesson)
        else:
            self.push_screen(HomeScreen(self.state.last_lesson))
        self.theme_changed_signal.subscribe(self, lambda theme: self.remember(theme=theme.name))
        if self._problem:
            self.notify(self._problem, severity="warning", timeout=10)
        self.call_after_refresh(self.start_reference)

    # ── screens ───────────────────────────────────────────────────────────────────────────

    def open_lesson(self, lesson: Lesson) -> None:
        """Show a lesson, from the beginning."""
        self.remember(last_lesson=lesson.id)
        self._show_instead(LessonScreen(lesson))

    def show_home(self) -> None:
        """Show the lessons."""
        self._show_instead(HomeScreen(self.state.last_lesson))

    def _show_instead(self, screen: Screen[Any]) -> None:
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
            self.notify(problem, severity="warning", timeout=10)

    def mark_done(self, lesson_id: str) -> None:
        """A lesson was stepped through to the end."""
        if lesson_id not in self.state.done:
            self.remember(done=self.state.done | {lesson_id})

    def action_toggle_theme(self) -> None:
        self.theme = (
            themes.LIGHT.name if self.current_theme.dark else themes.DARK.name
        )

    # ── torch beside ──────────────────────────────────────────────────────────────────────

    def start_reference(self) -> None:
        """Start the process that runs torch; after the first paint."""

    def ask_reference(self, screen: LessonScreen) -> None:
        """Have a lesson's present inputs computed beside."""

    def torch_status(self, screen: LessonScreen) -> tuple[str, str]:
        """How torch is doing, in a few words, and the role of that text."""
        return "torch loading", "muted"

    # ── commands ──────────────────────────────────────────────────────────────────────────

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for lesson in catalogue():
            yield SystemCommand(
                f"Lesson {lesson.order}: {lesson.title}",
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
        yield from super().get_system_commands(screen)

    async def _run_binding(self, active: Any) -> None:
        await self.run_action(active.binding.action, active.node)


def run(lesson_id: str | None, store: StateStore, *, ascii: bool = False) -> int:
    """Run the app; returns the exit code. Raises UnknownLesson before the screen is touched."""
    lesson = find_lesson(lesson_id) if lesson_id is not None else None
    BackpropApp(lesson, store, ascii=ascii).run()
    return 0


__all__ = ["BackpropApp", "State", "run"]
