"""A lesson on the screen: graph, step, gradients, code, equations, leaves, timeline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Footer, Static

from backprop_tui.engine.agreement import agreement
from backprop_tui.engine.broadcasting import shape_of
from backprop_tui.engine.compare import compare
from backprop_tui.engine.numeric import NumericRun
from backprop_tui.engine.torch_record import TorchRun
from backprop_tui.explain import first_not_finite
from backprop_tui.explain_group import agreement_text
from backprop_tui.lessons import number_of
from backprop_tui.lessons.base import Lesson
from backprop_tui.lessons.script import ScriptRun
from backprop_tui.session import EditRefused, Session
from backprop_tui.tui.beside import Beside
from backprop_tui.tui.equations_view import EquationsView
from backprop_tui.tui.gradients_view import GradientsView
from backprop_tui.tui.graph_model import Zoom
from backprop_tui.tui.graph_view import GraphView
from backprop_tui.tui.heading import Heading
from backprop_tui.tui.help import HelpScreen, WindowSized
from backprop_tui.tui.leaves_view import LeavesView
from backprop_tui.tui.lines_view import LinesView
from backprop_tui.tui.painted import Piece, Pieces
from backprop_tui.tui.prompt import Prompt
from backprop_tui.tui.source_view import SourceView
from backprop_tui.tui.step_view import StepView
from backprop_tui.tui.tab_bar import TabBar
from backprop_tui.tui.timeline import Timeline

if TYPE_CHECKING:
    from backprop_tui.tui.app import BackpropApp

TABS = ("Step", "Gradients", "Leaves", "Code", "Equations")
PANELS = ("#step", "#gradients", "#leaves", "#source", "#equations")

MIN_WIDTH, MIN_HEIGHT = 80, 24
WIDE, WIDER = 120, 150
BESIDE, BESIDE_WIDER = 54, 66
"""How wide the panels beside the graph are; see the stylesheet."""

BARS = 3
"""The lines of heading, timeline and footer."""

ROWS = 24
"""Into so many rows the height is divided where panels stand side by side; see the stylesheet."""

STEP_ROWS = (10, 15)
"""At least and at most so many are for the explanation of the step."""

LIST_ROWS = (4, 7)
"""At least and at most so many are for the gradients, and for the leaves, by what they have."""

NO_TORCH = ("missing", "off")
"""What stands in torch's column where no answer of torch is to be expected."""

SPEEDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Steps a second."""


def key(
    keys: str, action: str, text: str, tip: str, *, show: bool = False, label: str | None = None
) -> Binding:
    """A binding with an id made from its action, so that keys can be mapped anew."""
    name = action.replace("(", ".").replace(")", "").replace("'", "").replace(",", ".")
    return Binding(
        keys, action, text, show=show, tooltip=tip, id=f"lesson.{name}", key_display=label
    )


IF_ROOM = ("lesson.inspect", "lesson.plot", "lesson.about", "lesson.fold")
"""What the footer names only where panels stand side by side."""

IF_IN_LEAVES = ("lesson.help", "lesson.leave", "lesson.previous", "lesson.next")
"""What it names beside the keys of the leaves where there is little room."""

IN_TEXT = ("left", "right", "home", "end")
"""Keys that move the caret while a number is typed."""


class LessonScreen(WindowSized, Screen[None]):
    """Watch, edit and step one lesson."""

    AUTO_FOCUS = "#graph"

    HELP = """
    # A lesson

    On the left the computation graph and the code, on the right what happens in this step,
    the gradients, and the leaves (inputs and weights), which you can change at any time.

    **→ and ←** move through the forward pass and then through the backward pass, node by node;
    `m` switches to single edges. Nothing is lost on the way back: everything is recorded.
    `b` goes to where the backward pass starts, space plays. Edit a leaf with `e`:
    everything follows at once and you stay on the same step.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        key("left,p", "previous", "Prev", "To the step before", show=True, label="←"),
        key("right,n", "next", "Next", "To the next step", show=True, label="→"),
        key("space", "play", "Play", "Play the steps, or pause", show=True),
        key("b", "backward_start", "Backward", "To the start of the backward pass", show=True),
        key("e", "edit", "Edit", "Edit the leaves", show=True),
        key("u,ctrl+z", "undo", "Undo", "Take the last change back", label="u"),
        key("z", "zoom", "Zoom", "How much the graph's boxes show", show=True),
        key("s", "script", "State", "A torch program and its tensors' state", show=True),
        key("i", "inspect", "Inspect", "All cells of the chosen node"),
        key("P", "plot", "Plot", "Look at plots: of the chosen node or leaf, or the lesson's own"),
        key("o", "open", "Open", "Open a node into its primitive steps, or close it", show=True),
        key("question_mark,f1", "help", "Help", "Help on what has the focus", show=True, label="?"),
        key("escape", "leave", "Home", "Back to the lessons", show=True, label="esc"),
        key("home", "first", "First step", "To before the first step"),
        key("end", "last", "Last step", "To the last step"),
        key("t", "next_touch", "Next touch", "To the next step that touches the chosen node"),
        key("m", "granularity", "By node or edge", "Move by whole nodes or by single edges"),
        key("O", "agreement", "Agreement", "Whether the open and the closed form agree"),
        key("x", "fold", "Fold", "Fold a helper function's nodes into one box, or unfold them"),
        key("X", "fold_all", "Fold all", "Fold all helper functions, or unfold them"),
        key("c", "centre", "Centre", "Centre the graph on the active node"),
        key("plus,equals_sign", "speed(1)", "Faster", "Play faster", label="+"),
        key("minus", "speed(-1)", "Slower", "Play slower", label="-"),
        key("y,ctrl+y", "redo", "Redo", "Make the undone change again", label="y"),
        key("r", "reset_leaf", "Reset leaf", "Put the selected leaf back"),
        key("R", "reset", "Reset all", "Put all leaves and sizes back"),
        key("d", "randomise", "Randomise", "Draw all leaves anew, with the next seed"),
        key("D", "seed", "Seed…", "Draw all leaves anew, with a seed of your choice"),
        key("v", "equations", "Code or equations", "Show the code or the equations"),
        key("g", "graph", "Graph", "Give the graph the keys"),
        key("a", "about", "Ask", "The idea, the common mistake, and questions to ask yourself"),
        *(
            key(str(number + 1), f"tab({number})", name, f"Show {name.lower()}")
            for number, name in enumerate(TABS)
        ),
    ]

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        self.session = Session(lesson)
        self.beside = Beside(None, "loading")
        self._torch_run: TorchRun | None = None
        self._numeric_run: NumericRun | None = None
        self._script_run: ScriptRun | None = None
        self._torch_state = "torch loading"
        self._timer: Timer | None = None
        self._tab = 0
        self.ready = False
        """Whether the panels are there: keys may come before they are, and after."""
        self._message = ""
        self._can_open = False
        """Whether any node of the lesson opens into primitive steps, or is open."""
        self._shared_for: object = None
        """What the heights of the panels were worked out for."""

    @property
    def program(self) -> BackpropApp:
        """The app."""
        return cast("BackpropApp", self.app)

    def compose(self) -> ComposeResult:
        yield Heading(id="heading")
        with Container(id="board"):
            yield GraphView(id="graph")
            yield StepView(id="step")
            yield GradientsView(id="gradients")
            yield SourceView(id="source")
            yield EquationsView(id="equations")
            yield LeavesView(id="leaves")
        yield TabBar(TABS, id="tabs")
        yield Timeline(id="timeline")
        yield Footer(show_command_palette=False)
        yield Static(id="too-small")

    # ── showing ───────────────────────────────────────────────────────────────────────────

    def on_mount(self) -> None:
        state = self.program.state
        self.session.granularity = state.granularity
        self._fit(self.app.size.width, self.app.size.height)
        self.query_one(GraphView).focus()
        self._show_inputs()
        self.ready = True
        self.program.ask_reference(self)

    def on_resize(self) -> None:
        if self.ready:
            self._fit(self.app.size.width, self.app.size.height)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "script" and self.session.lesson.script is None:
            return False
        return self.ready and self.is_attached

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """What the keys do now, for footer, help and palette.

        The panel with the focus may have taken the key that a binding is known by: then another
        of its keys is named, or none if there is none.
        """
        found = super().active_bindings
        leaves = self.focused if isinstance(self.focused, LeavesView) else None
        if leaves is not None and leaves.editing:
            found = {k: a for k, a in found.items() if a.node is not self or k not in IN_TEXT}
        if leaves is not None and self.has_class("narrow"):  # where not all of them have room
            found = dict(sorted(found.items(), key=lambda item: self._rank(item[1])))
        elif not self.has_class("narrow"):  # what is named only where there is room comes last
            found = dict(sorted(found.items(), key=lambda item: item[1].binding.id in IF_ROOM))
        return {key: self._named_truly(active, found) for key, active in found.items()}

    def _rank(self, active: ActiveBinding) -> int:
        if active.node is not self:
            return 0
        return 1 if active.binding.id in ("lesson.help", "lesson.leave") else 2

    def _is_named(self, binding: Binding) -> bool:
        """Whether the footer names a key of this screen: one that is of use here, if it fits."""
        narrow, in_leaves = self.has_class("narrow"), isinstance(self.focused, LeavesView)
        if narrow and in_leaves and binding.show:  # their own keys come first
            return binding.id in IF_IN_LEAVES
        match binding.id:
            case "lesson.zoom":  # gives way, or there would be no room for what leads home
                return self.session.lesson.script is None and not (narrow and self._can_open)
            case "lesson.open":
                return self._can_open
            case "lesson.fold" if not self.session.trace.graph.groups:
                return False
        if binding.id in IF_ROOM:
            return self.has_class("wider") or not (narrow or in_leaves)
        return binding.show

    def _named_truly(self, active: ActiveBinding, found: dict[str, ActiveBinding]) -> ActiveBinding:
        binding = active.binding
        if active.node is not self:
            return active
        if binding.id == "lesson.leave" and not isinstance(self.focused, GraphView | None):
            binding = replace(binding, description="Graph", tooltip="Back to the graph")
        binding = replace(binding, show=self._is_named(binding))
        usual = found.get(USUAL_KEYS.get(binding.id or "", binding.key))
        if binding.key_display and (usual is None or usual.binding.id != binding.id):
            binding = replace(binding, key_display=None)
        return active._replace(binding=binding, tooltip=binding.tooltip)

    def _fit(self, width: int, height: int) -> None:
        """Arrange the panels for a size of the terminal."""
        too_small = width < MIN_WIDTH or height < MIN_HEIGHT
        self.set_class(too_small, "too-small")
        if too_small:
            text = f"{MIN_WIDTH}×{MIN_HEIGHT} needed, this is {width}×{height}"
            self.query_one("#too-small", Static).update(text)
        focused = f"#{self.focused.id}" if self.focused is not None else ""
        if width < WIDE and focused in PANELS:  # what has the focus stays in sight
            self._tab = PANELS.index(focused)
        self.set_class(width >= WIDE, "wide")
        self.set_class(width >= WIDER, "wider")
        self.set_class(width < WIDE, "narrow")
        self._show_tab()
        if self.ready:
            self._share_height()

    def _share_height(self) -> None:
        """Give the step what the lists below it do not need; the numbers in them do not matter.

        Or most lessons would have an explanation to be scrolled above two panels half empty.
        """
        inputs = self.session.inputs
        shapes = tuple((name, shape_of(value)) for name, value in inputs.leaves.items())
        graph = self.session.trace.graph
        shared_for = (self.app.size, self.classes, shapes, tuple(inputs.sizes), len(graph))
        if shared_for == self._shared_for or not self.has_class("wide"):
            return
        self._shared_for = shared_for
        height = self.app.size.height - BARS
        width = BESIDE_WIDER if self.has_class("wider") else BESIDE
        gradients, leaves = self.query_one(GradientsView), self.query_one(LeavesView)
        low, high = LIST_ROWS
        most = height * high // ROWS - 1
        needed = leaves.lines_needed(width, most)
        leaf_rows = max(low, min(high, _rows(needed + 1, height)))
        gradient_rows = max(low, min(high, _rows(gradients.lines_needed + 1, height)))
        step_rows = max(STEP_ROWS[0], min(STEP_ROWS[1], ROWS - leaf_rows - gradient_rows))
        self.query_one(StepView).styles.row_span = step_rows
        leaves.styles.row_span = leaf_rows
        gradients.styles.row_span = ROWS - step_rows - leaf_rows

    def _show_tab(self) -> None:
        for number, panel in enumerate(PANELS):
            self.query_one(panel).set_class(number == self._tab, "chosen")
        self.query_one(TabBar).choose(self._tab)

    def _show_inputs(self) -> None:
        """After a change of the inputs: everything may be different."""
        session = self.session
        self._can_open = bool(session.openable_names())
        self.query_one(GraphView).show_session(session)
        self.query_one(StepView).show_session(session)
        self.query_one(GradientsView).show_session(session, self.beside)
        self.query_one(SourceView).show_session(session)
        self.query_one(EquationsView).show_session(session)
        self._show_leaves()
        self._share_height()
        self.query_one(Timeline).show_session(session)
        self.query_one(GraphView).keep_in_view()
        trouble = first_not_finite(session.trace)
        self._message = trouble or ""
        self._show_heading()

    def _show_leaves(self) -> None:
        session = self.session
        self.query_one(LeavesView).set_content(
            session.inputs.leaves, session.inputs.sizes, session.lesson
        )

    def _show_step(self, *, jumped: bool = False) -> None:
        """After a move of the cursor: only what the step concerns."""
        session = self.session
        graph = self.query_one(GraphView)
        if jumped:
            graph.repaint_all_states()
            self.query_one(GradientsView).show_session(session, self.beside)
        else:
            graph.step_to()
            self.query_one(GradientsView).step_to()
        self.query_one(StepView).show_session(session)
        self.query_one(SourceView).show_session(session)
        self.query_one(Timeline).show_session(session)
        self._show_heading()
        if session.at_end:
            self.program.mark_done(session.lesson.id)

    def _show_heading(self) -> None:
        session = self.session
        lesson = session.lesson
        left: list[Piece] = [Piece(f" {number_of(lesson)} · {lesson.title}", "title")]
        left.extend(Piece(f"  {n} = {v}", "muted") for n, v in session.inputs.sizes.items())
        if session.inputs.seed is not None:
            left.append(Piece(f"  seed {session.inputs.seed}", "muted"))
        if self._message:
            left.append(Piece(f"  ! {self._message}", "differ"))
        self.query_one(Heading).show(tuple(left), (*self._where(), *self._torch()))

    def _where(self) -> Pieces:
        session = self.session
        start = session.trace.steps.backward_start
        if session.in_backward:
            done, all_steps = session.position - start + 1, session.last_position - start + 1
            word, role = "backward", "gradient"
        else:
            done, all_steps = session.position + 1, start
            word, role = "forward", "value"
        return (
            Piece(f"{word} {done}/{all_steps}", role),
            Piece(f" · by {session.granularity} · ", "muted"),
        )

    def _torch(self) -> Pieces:
        text, role = self.beside.summary() or (self._torch_state, "muted")
        if self.has_class("narrow"):  # the numbers would push the title out
            text = text.split(":")[0]
        return (Piece(f"{text} ", role),)

    # ── torch beside ──────────────────────────────────────────────────────────────────────

    def beside_pending(self, word: str) -> None:
        """The inputs have changed: what stands beside is on its way."""
        self._torch_run, self._numeric_run = None, None
        self._torch_state = f"torch {word}"
        self._show_beside(word)

    def beside_arrived(
        self, torch: TorchRun | None = None, numeric: NumericRun | None = None
    ) -> None:
        """Something that belongs to the present inputs has arrived."""
        self._torch_run = torch or self._torch_run
        self._numeric_run = numeric or self._numeric_run
        self._show_beside(self.beside.torch_text)

    def beside_missing(self, reason: str) -> None:
        """Torch will not answer; the numeric column goes on."""
        self._torch_state = reason.split(":", maxsplit=1)[0]
        self._show_beside("missing")

    def script_arrived(self, run: ScriptRun) -> None:
        """Torch has run the lesson's script, which does not depend on the inputs."""
        self._script_run = run
        self._show_script_state()

    def _show_script_state(self) -> None:
        from backprop_tui.tui.state_screen import StateScreen

        for screen in self.app.screen_stack:
            if isinstance(screen, StateScreen):
                screen.show_torch(self._script_run, self.beside.torch_text)

    def _show_beside(self, word: str) -> None:
        expected = word not in NO_TORCH
        comparison = compare(
            self.session.trace, self._torch_run, self._numeric_run, torch_expected=expected
        )
        self.beside = Beside(comparison, word, torch_expected=expected)
        self.query_one(GradientsView).show_session(self.session, self.beside)
        self._show_heading()
        if self.session.lesson.script is not None:
            self._show_script_state()

    # ── moving ────────────────────────────────────────────────────────────────────────────

    def _moved(self, moved: bool, *, jumped: bool = False) -> None:
        if moved:
            self._show_step(jumped=jumped)

    def action_next(self) -> None:
        self._moved(self.session.next())

    def action_previous(self) -> None:
        self._moved(self.session.previous())

    def action_first(self) -> None:
        self._moved(self.session.go_to(-1), jumped=True)

    def action_last(self) -> None:
        self._moved(self.session.go_to(self.session.last_position), jumped=True)

    def action_backward_start(self) -> None:
        self._moved(self.session.go_to(self.session.trace.steps.backward_start), jumped=True)

    def action_next_touch(self) -> None:
        graph = self.query_one(GraphView)
        node = graph.chosen
        if node is None:
            positions = self.session.active()
            if not len(positions):
                return
            node = self.session.trace.steps.what(positions[-1])[1]
            graph.choose(node)
        before = self.session.position
        if self.session.next_touch(node) and self.session.position != before:
            self._show_step(jumped=True)

    def action_granularity(self) -> None:
        session = self.session
        session.granularity = "edge" if session.granularity == "node" else "node"
        self.program.remember(granularity=session.granularity)
        self._show_step()

    def action_play(self) -> None:
        if self._timer is not None:
            self._stop()
            return
        if self.session.at_end:
            self.session.go_to(-1)
            self._show_step(jumped=True)
        self._start()

    def _start(self) -> None:
        self._timer = self.set_interval(1 / self.program.state.speed, self._tick)
        self._show_playing()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._show_playing()

    def _show_playing(self) -> None:
        timeline = self.query_one(Timeline)
        timeline.playing = self._timer is not None
        timeline.refresh()

    def _tick(self) -> None:
        self.action_next()
        if self.session.at_end:
            self._stop()

    def action_speed(self, direction: int) -> None:
        speed = self.program.state.speed
        nearest = min(range(len(SPEEDS)), key=lambda i: abs(SPEEDS[i] - speed))
        chosen = SPEEDS[max(0, min(len(SPEEDS) - 1, nearest + direction))]
        self.program.remember(speed=chosen)
        self.notify(f"{chosen:g} steps a second", timeout=2)
        if self._timer is not None:
            self._timer.stop()
            self._start()

    def on_timeline_picked(self, message: Timeline.Picked) -> None:
        self._moved(self.session.go_to(message.position), jumped=True)

    # ── editing ───────────────────────────────────────────────────────────────────────────

    def _edited(self) -> None:
        self._show_inputs()
        self.program.ask_reference(self)

    def action_edit(self) -> None:
        if self.has_class("narrow"):
            self.action_tab(TABS.index("Leaves"))
        self.query_one(LeavesView).focus()

    def on_leaves_view_cell_edited(self, message: LeavesView.CellEdited) -> None:
        try:
            self.session.set_cell(message.name, message.index, message.number)
        except EditRefused as refusal:
            self.query_one(LeavesView).refuse(str(refusal))
        else:
            self._edited()

    def on_leaves_view_leaf_pasted(self, message: LeavesView.LeafPasted) -> None:
        try:
            self.session.set_leaf(message.name, message.value)
        except EditRefused as refusal:
            self.query_one(LeavesView).refuse(str(refusal))
        else:
            self._edited()

    def on_leaves_view_size_edited(self, message: LeavesView.SizeEdited) -> None:
        try:
            self.session.set_size(message.name, message.number)
        except EditRefused as refusal:
            self.query_one(LeavesView).refuse(str(refusal))
        else:
            self._edited()

    def on_leaves_view_reset_requested(self, message: LeavesView.ResetRequested) -> None:
        self._reset(message.name)

    def _reset(self, name: str) -> None:
        defaults = self.session.lesson.default_sizes()
        if name in defaults:
            self.session.set_size(name, defaults[name])
        else:
            self.session.reset(name)
        self._edited()
        self.notify(f"{name} reset", timeout=2, markup=False)

    def action_reset_leaf(self) -> None:
        name = self.query_one(LeavesView).chosen_leaf
        if name is not None:
            self._reset(name)

    def action_reset(self) -> None:
        self.session.reset_everything()
        self._edited()

    def action_undo(self) -> None:
        change = self.session.undo()
        if change is None:
            self.notify("Nothing to undo", timeout=2)
            return
        self._edited()
        self.notify(f"Undone: {change}", timeout=2, markup=False)

    def action_redo(self) -> None:
        change = self.session.redo()
        if change is None:
            self.notify("Nothing to redo", timeout=2)
            return
        self._edited()
        self.notify(f"Redone: {change}", timeout=2, markup=False)

    def action_randomise(self) -> None:
        self.session.randomise((self.session.inputs.seed or 0) + 1)
        self._edited()

    def action_seed(self) -> None:
        def check(text: str) -> str | None:
            if text.isascii() and text.strip().isdigit() and len(text.strip()) <= 9:
                return None
            return "a seed is a whole number from 0 to 999999999"

        def answered(text: str | None) -> None:
            if text is not None:
                self.session.randomise(int(text))
                self._edited()

        seed = str(self.session.inputs.seed or 1)
        self.app.push_screen(Prompt("Draw all leaves anew with seed", seed, check), answered)

    # ── looking ───────────────────────────────────────────────────────────────────────────

    def action_zoom(self) -> None:
        graph = self.query_one(GraphView)
        graph.set_zoom(Zoom((graph.zoom + 1) % len(Zoom)))
        shown = ("names", "names and values", "names, values and gradients")[graph.zoom]
        self.notify(f"The graph shows {shown}", timeout=2)

    def action_script(self) -> None:
        """Show the lesson's script, statement by statement."""
        from backprop_tui.tui.state_screen import StateScreen

        lesson = self.session.lesson
        if lesson.script is not None:
            self._stop()
            text = self.beside.torch_text
            self.app.push_screen(StateScreen(lesson, lesson.script, self._script_run, text))

    def _at_hand(self) -> list[int]:
        """The node that is chosen, and those of the current step."""
        session, chosen = self.session, self.query_one(GraphView).chosen
        nodes = [] if chosen is None else [chosen]
        for position in reversed(session.active()):
            nodes.extend(session.touched(position))
        return [node for node in nodes if node < len(session.trace.graph)]

    def _name_to_open(self) -> str | None:
        """What can be opened or closed here; if there is nothing here, the only one there is."""
        session = self.session
        names = [session.openable(node) for node in self._at_hand()]
        here = next((name for name in names if name is not None), None)
        if here is None:
            everywhere = session.openable_names()
            here = everywhere[0] if len(everywhere) == 1 else None
        return here

    def action_open(self) -> None:
        name = self._name_to_open()
        if name is None:
            self.notify("Nothing here opens: choose a function such as softmax (j, k)", timeout=4)
            return
        try:
            opened = self.session.toggle_open(name)
        except EditRefused as refusal:
            self.notify(str(refusal), timeout=4, markup=False)
            return
        self.query_one(GraphView).choose(None)
        self._edited()
        found = agreement(self.session.trace, self.session.other_form(name))
        self.notify(agreement_text(name, opened, found), timeout=6, markup=False)

    def action_agreement(self) -> None:
        from backprop_tui.tui.agreement import AgreementScreen

        name = self._name_to_open()
        if name is None:
            self.notify("Nothing here has two forms", timeout=3)
            return
        self.app.push_screen(AgreementScreen(self.session, name))

    def action_fold(self) -> None:
        session = self.session
        group = next((g for g in map(session.toggle_fold, self._at_hand()) if g), None)
        if group is None:
            self.notify("This node belongs to no helper function", timeout=3)
            return
        self._folded()

    def action_fold_all(self) -> None:
        if not self.session.trace.graph.groups:
            self.notify("This lesson has no helper function", timeout=3)
            return
        self.session.fold_all()
        self._folded()

    def _folded(self) -> None:
        graph = self.query_one(GraphView)
        graph.choose(None)
        graph.show_session(self.session)
        self._show_step(jumped=True)

    def action_centre(self) -> None:
        self.query_one(GraphView).centre()

    def action_graph(self) -> None:
        self.query_one(GraphView).focus()

    def action_tab(self, number: int) -> None:
        self._tab = number
        if TABS[number] == "Equations":
            self.set_class(True, "equations")
        elif TABS[number] == "Code":
            self.set_class(False, "equations")
        self._show_tab()
        self.query_one(PANELS[number]).focus()

    def on_tab_bar_picked(self, message: TabBar.Picked) -> None:
        self.action_tab(message.number)

    def action_equations(self) -> None:
        name = "Code" if self.has_class("equations") else "Equations"
        self.action_tab(TABS.index(name))

    def action_inspect(self) -> None:
        leaves = self.query_one(LeavesView)
        if leaves.has_focus and leaves.chosen_leaf is not None:
            self.inspect(self.session.trace.graph.leaves[leaves.chosen_leaf])
        else:
            self.query_one(GraphView).action_inspect()

    def on_graph_view_node_clicked(self, message: GraphView.NodeClicked) -> None:
        self.inspect(message.node)

    def on_gradients_view_node_clicked(self, message: GradientsView.NodeClicked) -> None:
        self.inspect(message.node)

    def on_lines_view_node_clicked(self, message: LinesView.NodeClicked) -> None:
        node = self.session.trace.graph.index_of.get(message.node_id)
        if node is not None:
            self.inspect(node)

    def inspect(self, node: int) -> None:
        """Show all cells of a node."""
        from backprop_tui.tui.inspector import Inspector

        graph = self.query_one(GraphView)
        graph.choose(node)
        self.app.push_screen(Inspector(self.session, node, self.beside))

    def action_about(self) -> None:
        """Say what the lesson is about, and ask its questions."""
        from backprop_tui.tui.about import AboutScreen

        self.app.push_screen(AboutScreen(self.session.lesson, self.program.state.done))

    def action_plot(self) -> None:
        """Show a plot of the chosen leaf or node, or the lesson's own."""
        from backprop_tui.tui.plot_screen import PlotScreen

        leaves, graph = self.query_one(LeavesView), self.session.trace.graph
        node, cell = self.query_one(GraphView).chosen, None
        if leaves.has_focus and leaves.chosen_leaf is not None:
            node, cell = graph.leaves[leaves.chosen_leaf], leaves.chosen_index
        self.app.push_screen(PlotScreen(self.session, node, cell))

    def action_help(self) -> None:
        widget: Widget | None = self.focused
        text = next(
            (w.HELP for w in (widget, self) if w is not None and getattr(w, "HELP", None)), ""
        )
        keys = []
        seen: set[str] = set()
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.id is None or binding.id in seen or not binding.description:
                continue
            seen.add(binding.id)
            what = binding.tooltip or binding.description
            keys.append((self.app.get_key_display(binding), what))
        from inspect import cleandoc

        self.app.push_screen(HelpScreen(cleandoc(text or ""), keys))

    def action_leave(self) -> None:
        """From a panel to the graph; from the graph to the lessons."""
        graph = self.query_one(GraphView)
        if self.focused is not graph and self.focused is not None:
            graph.focus()
            return
        self._stop()
        self.program.show_home()


def _rows(lines: int, height: int) -> int:
    """In how many of the rows so many lines have room."""
    return -(-lines * ROWS // height)


USUAL_KEYS = {
    binding.id: binding.key.split(",")[0]
    for binding in LessonScreen.BINDINGS
    if isinstance(binding, Binding)
}
"""By which key a binding is known."""
