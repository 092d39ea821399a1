"""The plots: where a learner would rather look than read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from inspect import cleandoc
from time import monotonic
from typing import ClassVar

import numpy as np
from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import ModalScreen

from backprop_tui.engine.run import record
from backprop_tui.engine.trace import Trace, backward
from backprop_tui.explain import Notation
from backprop_tui.plots import (
    KINDS,
    Kind,
    Subject,
    Sweep,
    subject_name,
    subjects,
    usual_reach,
    varying_loops,
)
from backprop_tui.session import Session
from backprop_tui.tui.chart import Area, draw
from backprop_tui.tui.help import HelpScreen, WindowSized
from backprop_tui.tui.lines_view import LinesView, Paragraph
from backprop_tui.tui.painted import Painted, Piece, Pieces
from backprop_tui.tui.pictures import (
    ActivationPicture,
    AlongPicture,
    HistogramPicture,
    NormsPicture,
    Picture,
)
from backprop_tui.tui.tab_bar import TabBar

NAMES: dict[Kind, str] = {
    "norms": "Size over time",
    "activation": "Shape and slope",
    "histogram": "Distribution",
    "along": "Along a leaf",
}

SLICE = 0.008
"""For so many seconds the program is run again and again before keys are looked at."""

NARROWEST, WIDEST = 2.0**-20, 2.0**20
"""How much nearer or farther than usual one can look along a leaf."""


def trace_for(session: Session, node: int | None) -> tuple[Trace, int | None]:
    """The pass to make pictures of, and the node in it.

    A node that the learner has opened into primitive steps is looked at as the one function that
    it is, and so is the lesson's own.
    """
    trace, opened, own = session.trace, session.inputs.opened, session.lesson.plot
    if node is not None:
        name = trace.graph.names[node]
        as_one = name.base if name.base in opened else None
    else:
        name = None
        as_one = own.of if own is not None and own.of in opened else None
    if as_one is None:
        return trace, node
    inputs = session.inputs
    closed = backward(record(session.lesson.program, inputs.leaves, inputs.sizes))
    if name is None:
        return closed, None
    found = closed.graph.index_of.get(name.id)
    return (trace, node) if found is None else (closed, found)


class ChartView(Painted, can_focus=False):
    """Draws a picture as large as there is room."""

    DEFAULT_CSS = """
    ChartView { border: none; padding: 0; height: 1fr; }
    """

    class Picked(Message):
        """A place was clicked: from 0 at the left edge of the data to 1 at the right."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._picture: Picture | None = None
        self._chosen = 0
        self._drawn: Sequence[Pieces] = ()
        self._area = Area(0, 0, 1, 1)

    def show(self, picture: Picture | None, chosen: int) -> None:
        """Draw a picture with a point chosen."""
        self._picture, self._chosen = picture, chosen
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        self._drawn = ()
        if self._picture is not None and width > 20 and height > 4:
            figure = self._picture.figure(self._chosen, width, height, ascii=self.ascii)
            self._drawn, self._area = draw(figure, width, height, ascii=self.ascii)
        self.set_height(height)
        self.repaint()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def watch_ascii(self) -> None:
        self._draw()

    def paint_line(self, y: int) -> Pieces:
        return self._drawn[y] if y < len(self._drawn) else ()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        left, _, width, _ = self._area
        if offset is not None and left <= offset.x < left + width:
            event.stop()
            self.post_message(self.Picked((offset.x - left + 0.5) / width))


class Choice(Painted, can_focus=False):
    """One line: what is shown, and the point that is chosen, between arrows to click on."""

    DEFAULT_CSS = """
    Choice { border: none; padding: 0; height: 1; }
    """

    class Clicked(Message):
        """An arrow was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    _pieces: Pieces = ()

    def on_mount(self) -> None:
        super().on_mount()
        self.set_height(1)

    def show(self, heading: str, where: str, others: bool) -> None:
        """Say other words. `others`: there are other subjects, above and below."""
        pieces = [Piece(heading, "title")]
        if where:
            pieces += [
                Piece("   "),
                Piece(" ◂ ", "active", "point(-1)"),
                Piece(where),
                Piece(" ▸ ", "active", "point(1)"),
            ]
        if others:
            pieces += [
                Piece("   "),
                Piece(" ▴", "active", "subject(-1)"),
                Piece("▾ ", "active", "subject(1)"),
                Piece("others", "muted"),
            ]
        self._pieces = tuple(pieces)
        self.repaint()

    def paint_line(self, y: int) -> Pieces:
        return self._pieces

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        action = self.ref_at(offset.x, offset.y) if offset is not None else None
        if action is not None:
            event.stop()
            self.post_message(self.Clicked(action))


class PlotScreen(WindowSized, ModalScreen[None]):
    """Shows pictures of the finished pass, one at a time."""

    AUTO_FOCUS = ""

    HELP = """
    # Plots

    The pictures are of the finished pass, whatever the step. **Size over time**: how large a
    node's gradient is at each time step. **Shape and slope**: an activation, its slope, and
    where the present value stands on it. **Distribution**: how many cells of a node lie where.
    **Along a leaf**: the output as one number of a leaf varies, everything else kept as it is;
    the tangent at the present value has the gradient as its slope.
    """

    DEFAULT_CSS = """
    PlotScreen { align: center middle; }
    PlotScreen > Container {
        width: 96%; max-width: 120; height: 94%; max-height: 40;
        background: $background; border: round $accent; padding: 0 1;
    }
    PlotScreen #choice { margin-top: 1; }
    PlotScreen #words { height: 4; border: none; padding: 0; margin-top: 1; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,P,q", "close", "Close", id="plot.close", key_display="esc",
                tooltip="Back to where you were"),
        Binding("left", "point(-1)", "Point before", id="plot.before",
                tooltip="The step, cell or bar before"),
        Binding("right", "point(1)", "Next point", id="plot.next",
                tooltip="The next step, cell or bar"),
        Binding("up,k", "subject(-1)", "Other above", id="plot.subject_before",
                tooltip="The node or leaf before, of which there is such a plot"),
        Binding("down,j", "subject(1)", "Other below", id="plot.subject_next",
                tooltip="The next node or leaf of which there is such a plot"),
        Binding("tab", "turn(1)", "Next kind", id="plot.kind_next",
                tooltip="The next kind of plot"),
        Binding("shift+tab", "turn(-1)", "Kind before", id="plot.kind_before",
                tooltip="The kind of plot before"),
        *(
            Binding(str(n + 1), f"kind({n})", f"Plot {n + 1}", id=f"plot.kind.{n}",
                    tooltip=f"The kind of plot with the number {n + 1} above")
            for n in range(len(KINDS))
        ),
        Binding("v", "vary", "Vary", id="plot.vary",
                tooltip="Values or gradients, all steps or this one; the other loop"),
        Binding("plus,equals_sign", "zoom(0.5)", "Nearer", id="plot.nearer", key_display="+",
                tooltip="Along a leaf: look nearer"),
        Binding("minus", "zoom(2.0)", "Farther", id="plot.farther", key_display="-",
                tooltip="Along a leaf: look farther"),
        Binding("question_mark,f1", "help", "Help", id="plot.help", key_display="?",
                tooltip="Help on the plots"),
    ]  # fmt: skip

    def __init__(
        self, session: Session, node: int | None = None, cell: tuple[int, ...] | None = None
    ) -> None:
        """Begin with a node or leaf and one of its cells, or with the lesson's own picture."""
        super().__init__()
        self._session = session
        self._trace, node = trace_for(session, node)
        self._notation = Notation(self._trace)
        self._subjects = {kind: subjects(self._trace, kind) for kind in KINDS}
        self._kinds = tuple(kind for kind in KINDS if self._subjects[kind])
        self._subject_of: dict[Kind, int] = {}
        self._points: dict[tuple[Kind, str, int], int] = {}
        """The chosen point for each kind, subject and variant."""
        self._variant: dict[Kind, int] = {}
        self._sweeps: dict[tuple[str, tuple[int, ...], float], Sweep] = {}
        self._zoom = 1.0
        self._left = False
        self._node = self._trace.graph.output if node is None else node
        self._kind: Kind = self._begin(node)
        if cell:
            self._begin_at(cell)
        self._picture = self._make()

    # ── what is shown ─────────────────────────────────────────────────────────────────────

    def _begin(self, node: int | None) -> Kind:
        """The kind to begin with."""
        graph, own = self._trace.graph, self._session.lesson.plot
        if own is not None and (node is None or graph.names[node].base == own.of):
            for number, subject in enumerate(self._subjects[own.kind]):
                if subject.base == own.of:
                    self._subject_of[own.kind] = number
                    if node is None:
                        self._node = subject.nodes[-1]
                    return own.kind
        is_leaf = self._node in graph.leaves.values()
        order: tuple[Kind, ...] = ("activation", "norms", "histogram", "along")
        for kind in ("along", *order) if is_leaf else order:
            if self._place(kind, subject_name(graph, self._node)) is not None:
                return kind
        return self._kinds[-1]

    def _begin_at(self, cell: tuple[int, ...]) -> None:
        """Begin with a cell of the node."""
        name = subject_name(self._trace.graph, self._node)
        shape = np.shape(self._trace.graph.raw[self._node][2])
        if len(shape) != len(cell):
            return
        flat = int(np.ravel_multi_index(cell, shape))
        self._points["along", name, 0] = flat
        place = self._place("activation", name)
        if place is not None:
            subject = self._subjects["activation"][place]
            first = ActivationPicture(self._notation, subject).first_point(self._node)
            self._points["activation", name, 0] = first + flat

    def _place(self, kind: Kind, name: str) -> int | None:
        """Where a subject stands among those of a kind."""
        names = [subject.name for subject in self._subjects[kind]]
        return names.index(name) if name in names else None

    @property
    def _subject(self) -> Subject:
        return self._subjects[self._kind][self._chosen_subject(self._kind)]

    def _chosen_subject(self, kind: Kind) -> int:
        """The subject of the node last chosen, if there is such a picture of it; else the one
        shown before, what the lesson's own picture is about, what an activation gives, any."""
        same = self._place(kind, subject_name(self._trace.graph, self._node))
        if same is not None:
            return same
        if kind in self._subject_of:
            return self._subject_of[kind]
        own = self._session.lesson.plot
        wanted = [own.of] if own is not None else []
        wanted += [subject.base for subject in self._subjects["activation"]]
        bases = [subject.base for subject in self._subjects[kind]]
        return next((bases.index(base) for base in wanted if base in bases), 0)

    def _variants(self) -> int:
        subject = self._subject
        if self._kind == "norms":
            return len(varying_loops(self._trace.graph, subject))
        if self._kind == "histogram":
            return 4 if len(subject.nodes) > 1 else 2
        return 1

    def _make(self) -> Picture:
        """The picture of the chosen kind and subject."""
        notation, subject, graph = self._notation, self._subject, self._trace.graph
        node = self._node if self._node in subject.nodes else subject.nodes[-1]
        variant = self._variant.get(self._kind, 0) % self._variants()
        if self._kind == "norms":
            loops = varying_loops(graph, subject)
            return NormsPicture(notation, subject, node, loops[-1 - variant])
        if self._kind == "activation":
            return ActivationPicture(notation, subject)
        if self._kind == "histogram":
            nodes = subject.nodes if variant < 2 else (node,)
            return HistogramPicture(notation, subject, nodes, gradient=bool(variant % 2))
        return AlongPicture(notation, subject, self._sweep(subject))

    def _key(self) -> tuple[Kind, str, int]:
        return self._kind, self._subject.name, self._variant.get(self._kind, 0)

    @property
    def _point(self) -> int:
        picture = self._picture
        known = self._points.get(self._key())
        if known is not None and known < picture.points:
            return known
        if isinstance(picture, HistogramPicture):
            return picture.fullest
        if isinstance(picture, ActivationPicture) and self._node in picture.subject.nodes:
            return picture.first_point(self._node)
        if isinstance(picture, NormsPicture):
            nodes = picture.data.nodes
            return nodes.index(self._node) if self._node in nodes else len(nodes) - 1
        return 0

    def _sweep(self, subject: Subject) -> Sweep:
        """The outputs along the chosen cell, as far as they are computed."""
        session = self._session
        leaf, value = subject.name, session.inputs.leaves[subject.name]
        point = self._points.get(("along", leaf, 0), 0)
        shape = np.shape(value)
        cell = tuple(int(i) for i in np.unravel_index(point, shape)) if shape else ()
        key = (leaf, cell, self._zoom)
        if key not in self._sweeps:
            here = float(value if isinstance(value, float) else value[cell])
            self._sweeps[key] = Sweep(
                session.lesson.program,
                session.inputs.leaves,
                session.inputs.sizes,
                self._trace,
                leaf,
                cell,
                reach=usual_reach(here) * self._zoom,
            )
        return self._sweeps[key]

    # ── showing ───────────────────────────────────────────────────────────────────────────

    def compose(self) -> ComposeResult:
        with Container() as frame:
            frame.border_title = "Plot · the finished pass"
            frame.border_subtitle = "← → point · ↑ ↓ what · tab kind · ? help · esc closes"
            yield TabBar(tuple(NAMES[kind] for kind in self._kinds), id="kinds")
            yield Choice(id="choice")
            yield ChartView(id="chart")
            yield LinesView(id="words")

    @property
    def _is_there(self) -> bool:
        """Whether the screen is neither opening nor closing."""
        return not self._left and len(self.query("#kinds, #choice, #chart, #words")) == 4

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._is_there

    def on_mount(self) -> None:
        self.query_one("#words", LinesView).can_focus = False
        self._show(anew=True)

    def _show(self, *, anew: bool = False) -> None:
        """Show the picture; `anew` after the kind, the subject, the variant or a cell changed."""
        if anew:
            self._picture = self._make()
        picture, point = self._picture, self._point
        ascii = bool(getattr(self.app, "ascii", False))
        self.query_one(TabBar).choose(self._kinds.index(self._kind))
        where = picture.where(point) if picture.points > 1 else ""
        others = len(self._subjects[self._kind]) > 1
        self.query_one(Choice).show(picture.heading(point), where, others)
        self.query_one(ChartView).show(picture, point)
        lines = [Paragraph(line, 2) for line in picture.words(point, ascii=ascii)]
        if self._kind == "histogram" or self._variants() > 1:
            lines.append(Paragraph((Piece(f"v shows {self._other_variant()}", "muted"),), 2))
        if self._kind == "along":
            lines.append(Paragraph((Piece("+ and − look nearer and farther", "muted"),), 2))
        self.query_one("#words", LinesView).set_paragraphs(lines)
        if anew and isinstance(picture, AlongPicture) and picture.sweep.done < picture.sweep.total:
            self._compute(picture)

    def _other_variant(self) -> str:
        if self._kind == "norms":
            return "the other loop"
        following = (self._variant.get(self._kind, 0) + 1) % self._variants()
        what = "gradients" if following % 2 else "values"
        if self._variants() == 2:
            return f"its {what}"
        return f"the {what} of {'every step' if following < 2 else 'one step'}"

    @work(exclusive=True, group="sweep")
    async def _compute(self, picture: AlongPicture) -> None:
        """Run the program for each value of the leaf, with room for keys in between.

        Whatever is shown next makes an end of it: workers of a group are exclusive.
        """
        more = True
        while more and self._picture is picture and self._is_there:
            until = monotonic() + SLICE
            while more and monotonic() < until:
                more = picture.sweep.step()
            self._show()
            await asyncio.sleep(0.001)

    # ── choosing ──────────────────────────────────────────────────────────────────────────

    def action_point(self, direction: int) -> None:
        """Choose another step, cell or bar."""
        self._choose(max(0, min(self._picture.points - 1, self._point + direction)))

    def _choose(self, point: int) -> None:
        if point == self._point:
            return
        self._points[self._key()] = point
        # The step before the first is a leaf: the picture stays that of the nodes after it.
        self._subject_of[self._kind] = self._chosen_subject(self._kind)
        if self._kind != "along":
            if self._kind != "histogram":
                self._node = self._picture.node(point)
            self._show()
        else:
            self._show(anew=True)

    def action_subject(self, direction: int) -> None:
        """Show the same for another node or leaf."""
        among = self._subjects[self._kind]
        place = (self._chosen_subject(self._kind) + direction) % len(among)
        self._subject_of[self._kind] = place
        self._node = among[place].nodes[-1]
        self._show(anew=True)

    def action_turn(self, direction: int) -> None:
        """The next kind, or the one before."""
        place = (self._kinds.index(self._kind) + direction) % len(self._kinds)
        self.action_kind(place)

    def action_kind(self, number: int) -> None:
        """Another kind of picture."""
        if number < len(self._kinds):
            self._subject_of[self._kind] = self._chosen_subject(self._kind)
            self._kind = self._kinds[number]
            self._show(anew=True)

    def action_vary(self) -> None:
        """Another variant of the picture."""
        self._variant[self._kind] = (self._variant.get(self._kind, 0) + 1) % self._variants()
        self._show(anew=True)

    def action_zoom(self, factor: float) -> None:
        """Look nearer or farther along the leaf."""
        if self._kind == "along":
            self._zoom = min(WIDEST, max(NARROWEST, self._zoom * factor))
            self._show(anew=True)

    def on_tab_bar_picked(self, message: TabBar.Picked) -> None:
        message.stop()
        self.action_kind(message.number)

    def on_choice_clicked(self, message: Choice.Clicked) -> None:
        name, _, direction = message.action.rstrip(")").partition("(")
        (self.action_point if name == "point" else self.action_subject)(int(direction))

    def on_chart_view_picked(self, message: ChartView.Picked) -> None:
        picture = self._picture
        if isinstance(picture, ActivationPicture):
            self._choose(picture.nearest_to(self._point, message.share))
        elif not isinstance(picture, AlongPicture):
            self._choose(picture.nearest(message.share))

    def action_help(self) -> None:
        keys: dict[str, tuple[str, str]] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            if binding.id is not None and binding.description:
                what = binding.tooltip or binding.description
                keys.setdefault(binding.id, (self.app.get_key_display(binding), what))
        self.app.push_screen(HelpScreen(cleandoc(self.HELP), list(keys.values())))

    def action_close(self) -> None:
        if self.is_current:  # and not closing already
            self._left = True
            self.dismiss(None)
