"""A session: edits, undo, the cursor, and what is known at it.

Numbers come from the lessons' published cases, from torch running the same program, or from the
definition of the thing.
"""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from backprop_tui import session as session_module
from backprop_tui.engine.trace import StepKind
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Equation, Leaf, Lesson, Size, random_values
from backprop_tui.session import UNDO_LIMIT, EditRefused, GradientState, Session

LESSONS = [lesson.id for lesson in catalogue()]
OTHER_SIZES = {
    "recursion": [{"T": 1}, {"T": 3}, {"T": 7}],
    "tanh-recursion": [{"T": 1}, {"T": 4}],
    "rnn": [{"T": 1, "hidden": 1}, {"T": 3, "hidden": 2}, {"T": 4, "hidden": 5}],
}
CASES = [(i, {}) for i in LESSONS] + [(i, s) for i, several in OTHER_SIZES.items() for s in several]
CLOSED = [(i, s) for i, s in CASES if i in LESSONS[:5] or i in OTHER_SIZES or i == "matrix-linear"]
"""Without open nodes and without numbers that torch makes in the program, so that torch's calls are
our nodes, one by one. The other lessons: tests/reference/test_torch_run.py."""


def session_of(lesson_id: str, **sizes: int) -> Session:
    return Session(find_lesson(lesson_id), sizes=sizes)


def gradient(session: Session, node_id: str) -> Any:
    """A node's gradient at the cursor."""
    return session.node_state(session.trace.graph.index_of[node_id]).gradient


def snapshot(session: Session) -> tuple[Any, ...]:
    """All of a session that a refused edit must leave alone."""
    return (
        {name: np.array(value).tolist() for name, value in session.inputs.leaves.items()},
        dict(session.inputs.sizes),
        session.inputs.seed,
        session.inputs.change,
        session.position,
        session.version,
        id(session.trace),
        len(session._undo),
        len(session._redo),
    )


def refused(session: Session, edit: Any) -> str:
    """The words of a refusal, after which nothing has changed."""
    before = snapshot(session)
    with pytest.raises(EditRefused) as caught:
        edit()
    assert snapshot(session) == before
    return str(caught.value)


# ── editing ───────────────────────────────────────────────────────────────────────────────────


def test_it_starts_at_the_end_of_the_forward_pass() -> None:
    session = session_of("squared-loss")
    assert session.trace.steps.key(session.position) == "compute:loss"
    assert not session.in_backward
    assert not session.at_end


def test_a_leaf_is_edited() -> None:
    session = session_of("square")
    session.go_to(session.last_position)
    session.set_leaf("x", 3.0)
    assert gradient(session, "x") == 6.0  # 2x
    assert session.inputs.change == "x edited"


def test_a_cell_is_edited_and_the_others_stay() -> None:
    session = session_of("matrix-linear")
    before = np.array(session.inputs.leaves["W"])
    session.set_cell("W", (1, 2), -7.0)
    expected = before.copy()
    expected[1, 2] = -7.0
    assert np.array_equal(session.inputs.leaves["W"], expected)
    assert session.inputs.change == "W[1, 2] edited"


def test_a_scalar_is_a_cell_without_an_index() -> None:
    session = session_of("linear")
    session.set_cell("w", (), -2.0)
    assert session.inputs.leaves["w"] == -2.0
    assert session.inputs.change == "w edited"


def test_a_vector_of_free_shape_may_become_longer() -> None:
    session = session_of("sum-of-squares")
    session.go_to(session.last_position)
    session.set_leaf("x", np.array([1.0, -2.0, 3.0, 0.5]))
    assert np.array_equal(gradient(session, "x"), [2.0, -4.0, 6.0, 1.0])
    assert session.trace.graph[session.trace.graph.output].value == 14.25


def test_an_edited_cell_does_not_reach_into_the_past() -> None:
    session = session_of("matrix-linear")
    before = np.array(session.inputs.leaves["W"])
    session.set_cell("W", (0, 0), 9.0)
    session.undo()
    assert np.array_equal(session.inputs.leaves["W"], before)


def test_infinity_and_nan_are_values() -> None:
    session = session_of("square")
    session.go_to(session.last_position)
    session.set_leaf("x", math.inf)
    assert gradient(session, "x") == math.inf
    session.set_leaf("x", math.nan)
    assert math.isnan(gradient(session, "x"))


def test_the_learners_array_may_change_afterwards() -> None:
    mine = np.array([1.0, 2.0])
    session = Session(find_lesson("sum-of-squares"), {"x": mine})
    session.set_leaf("x", mine)
    mine[0] = 99.0
    assert np.array_equal(session.inputs.leaves["x"], [1.0, 2.0])
    session.undo()
    assert np.array_equal(session.inputs.leaves["x"], [1.0, 2.0])


def test_editing_one_session_leaves_another_alone() -> None:
    one, other = session_of("matrix-linear"), session_of("matrix-linear")
    one.set_cell("W", (0, 0), 5.0)
    assert np.asarray(other.inputs.leaves["W"])[0, 0] == -0.3280  # the notebook's


REFUSALS = [
    ("linear", lambda s: s.set_leaf("v", 1.0), "no leaf “v”"),
    ("linear", lambda s: s.set_leaf("w", np.ones(2)), "w must be a single number, not 2 numbers"),
    ("matrix-linear", lambda s: s.set_leaf("W", np.ones((3, 2))), "W must be 2×3, not 3×2"),
    ("matrix-linear", lambda s: s.set_leaf("B", np.ones(3)), "B must be 1×3, not 3 numbers"),
    ("sum-of-squares", lambda s: s.set_leaf("x", np.ones((2, 2))), "must be 3 numbers, not 2×2"),
    ("sum-of-squares", lambda s: s.set_leaf("x", np.ones(0)), "must be 3 numbers, not 0 numbers"),
    ("rnn", lambda s: s.set_leaf("x", np.ones((1, 1))), "x must be at least 2×1, not 1×1"),
    ("rnn", lambda s: s.set_leaf("x", 1.0), "x must be at least 2×1, not a single number"),
    ("rnn", lambda s: s.set_leaf("x", np.ones((5, 2))), "x must be 5×1, not 5×2"),
    ("rnn", lambda s: s.set_leaf("W_h", np.ones((2, 2))), "W_h must be 3×3"),
    ("rnn", lambda s: s.set_size("T", 0), "T (time steps) must be from 1 to 50, not 0"),
    ("rnn", lambda s: s.set_size("T", 51), "must be from 1 to 50, not 51"),
    ("rnn", lambda s: s.set_size("hidden", 9), "must be from 1 to 8, not 9"),
    ("rnn", lambda s: s.set_size("tt", 2), "no size “tt”"),
    ("square", lambda s: s.set_size("T", 2), "known: none"),
    ("linear", lambda s: s.set_cell("v", (), 1.0), "no leaf “v”"),
    ("linear", lambda s: s.set_cell("w", (0,), 1.0), "w is scalar: it has no cell [0]"),
    ("matrix-linear", lambda s: s.set_cell("W", (2, 0), 1.0), "has no cell [2, 0]"),
    ("matrix-linear", lambda s: s.set_cell("W", (-1, 0), 1.0), "has no cell [-1, 0]"),
    ("matrix-linear", lambda s: s.set_cell("W", (0,), 1.0), "has no cell [0]"),
    ("linear", lambda s: s.reset("v"), "no leaf “v”"),
]


@pytest.mark.parametrize(("lesson_id", "edit", "words"), REFUSALS)
def test_a_refused_edit_says_why_and_changes_nothing(lesson_id: str, edit: Any, words: str) -> None:
    session = session_of(lesson_id)
    session.randomise(5)
    session.undo()  # so that there is something to redo, too
    session.go_to(session.last_position - 1)
    assert words in refused(session, lambda: edit(session))


def test_a_wrong_name_is_answered_with_the_right_one() -> None:
    assert "did you mean W_x" in refused(s := session_of("rnn"), lambda: s.set_leaf("Wx", 1.0))


def test_what_the_program_cannot_run_is_refused() -> None:
    def program(xp: Any, x: Any) -> Any:
        return xp.sum(x[2:3] * x[0])

    lesson = Lesson(
        "picky", "Picky", "Test", 1, "", program,
        (Leaf("x", [1.0, 2.0, 3.0], "a vector", free_shape=True),), (), (),
    )  # fmt: skip
    session = Session(lesson)
    session.set_leaf("x", np.array([2.0, 2.0, 2.0, 2.0]))

    def raises(xp: Any, x: Any) -> Any:
        raise IndexError("no third cell")

    object.__setattr__(lesson, "program", raises)
    assert "no third cell" in refused(session, lambda: session.set_leaf("x", np.ones(2)))


def test_it_does_not_start_with_what_does_not_fit() -> None:
    with pytest.raises(EditRefused, match="W must be 2×3"):
        Session(find_lesson("matrix-linear"), {"W": np.ones((1, 1))})
    with pytest.raises(EditRefused, match="from 1 to 50"):
        Session(find_lesson("recursion"), sizes={"T": 0})


# ── sizes ─────────────────────────────────────────────────────────────────────────────────────


def test_a_size_changes_and_what_exists_stays() -> None:
    session = session_of("rnn")
    before = dict(session.inputs.leaves)
    session.set_size("hidden", 5)
    for name, rows, columns in (("W_h", 5, 5), ("W_x", 5, 1), ("W_y", 1, 5)):
        old, new = np.asarray(before[name]), np.asarray(session.inputs.leaves[name])
        assert new.shape == (rows, columns)
        assert np.array_equal(new[: old.shape[0], : old.shape[1]], old)
        assert np.all(new != 0.0)  # zeros would hide mistakes
    assert np.array_equal(session.inputs.leaves["x"], before["x"])


def test_a_new_cell_is_the_same_whichever_way_one_came() -> None:
    straight, stepwise = session_of("rnn"), session_of("rnn")
    straight.set_size("hidden", 6)
    for hidden in (4, 5, 6):
        stepwise.set_size("hidden", hidden)
    for name, value in straight.inputs.leaves.items():
        assert np.array_equal(value, stepwise.inputs.leaves[name]), name


def test_rows_that_no_step_reads_are_kept() -> None:
    session = session_of("rnn")
    session.set_size("T", 1)
    assert np.array_equal(session.inputs.leaves["x"], [[1.0], [2.0], [3.0]])
    session.set_size("T", 5)
    x = np.asarray(session.inputs.leaves["x"])
    assert x.shape == (5, 1)
    assert np.array_equal(x[:3], [[1.0], [2.0], [3.0]])
    session.set_size("T", 2)
    assert np.array_equal(session.inputs.leaves["x"], x)


def test_an_edited_cell_survives_a_change_of_size() -> None:
    session = session_of("rnn")
    session.set_cell("W_h", (0, 1), 0.75)
    session.set_size("hidden", 4)
    session.set_size("hidden", 2)
    assert np.asarray(session.inputs.leaves["W_h"])[0, 1] == 0.75


def test_more_rows_than_steps_may_be_pasted() -> None:
    session = session_of("rnn")
    session.set_leaf("x", np.arange(1.0, 8.0).reshape(7, 1))
    session.set_size("T", 7)
    assert np.asarray(session.inputs.leaves["x"])[6, 0] == 7.0


# ── undo, redo, reset, seeds ──────────────────────────────────────────────────────────────────


def edit_everything(session: Session) -> list[dict[str, Any]]:
    """One edit of every kind; the inputs before and after each."""
    edits = [
        lambda: session.set_leaf("h0", 0.25),
        lambda: session.set_cell("w_h", (), -1.5),
        lambda: session.set_size("T", 5),
        lambda: session.randomise(3),
        lambda: session.reset("w_h"),
        session.reset,
        session.reset_everything,
    ]
    states = [_inputs(session)]
    for edit in edits:
        edit()
        states.append(_inputs(session))
    return states


def _inputs(session: Session) -> dict[str, Any]:
    inputs = session.inputs
    return {**inputs.leaves, **inputs.sizes, "seed": inputs.seed, "change": inputs.change}


def test_every_edit_is_undone_and_redone() -> None:
    session = session_of("recursion")
    states = edit_everything(session)
    assert len({str(state) for state in states}) == len(states)
    for before, after in reversed(list(itertools.pairwise(states))):
        assert session.undo() == after["change"]
        assert _inputs(session) == before
    assert session.undo() is None
    assert _inputs(session) == states[0]
    for state in states[1:]:
        assert session.redo() == state["change"]
        assert _inputs(session) == state
    assert session.redo() is None


def test_undo_brings_the_numbers_back_and_not_only_the_inputs() -> None:
    session = session_of("recursion")  # the notebook: dw_h 2.0, dh0 4.0
    session.go_to(session.last_position)
    session.set_size("T", 6)
    session.set_leaf("w_h", 3.0)
    session.undo()
    session.undo()
    assert (gradient(session, "w_h"), gradient(session, "h0")) == (2.0, 4.0)


def test_a_new_edit_clears_what_could_be_redone() -> None:
    session = session_of("square")
    session.set_leaf("x", 1.0)
    session.undo()
    session.set_leaf("x", 2.0)
    assert session.redo() is None
    assert session.inputs.leaves["x"] == 2.0


def test_undo_goes_back_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert UNDO_LIMIT >= 100
    monkeypatch.setattr(session_module, "UNDO_LIMIT", 3)
    session = session_of("square")
    for number in range(5):
        session.set_leaf("x", float(number))
    undone = 0
    while session.undo() is not None:
        undone += 1
    assert undone == 3
    assert session.inputs.leaves["x"] == 1.0


def test_every_change_has_its_own_version() -> None:
    session = session_of("square")
    versions = [session.version]
    for edit in (lambda: session.set_leaf("x", 1.0), session.undo, session.redo, session.reset):
        edit()
        versions.append(session.version)
    assert versions == sorted(set(versions))
    session.next()
    assert session.version == versions[-1]


def test_reset_of_one_leaf_leaves_the_others() -> None:
    session = session_of("linear")
    session.set_leaf("w", 1.0)
    session.set_leaf("x", 1.0)
    session.reset("w")
    assert (session.inputs.leaves["w"], session.inputs.leaves["x"]) == (5.0, 1.0)


def test_reset_of_all_leaves_keeps_the_sizes() -> None:
    session = session_of("recursion", T=4)
    session.set_leaf("w_h", 1.0)
    session.reset()
    assert session.inputs.leaves == {"h0": 0.5, "w_h": 2.0}
    assert session.inputs.sizes == {"T": 4}


def test_reset_of_everything_resets_the_sizes_too() -> None:
    session = session_of("recursion", T=4)
    session.set_leaf("w_h", 1.0)
    session.reset_everything()
    assert session.inputs.leaves == {"h0": 0.5, "w_h": 2.0}
    assert session.inputs.sizes == {"T": 2}


def test_reset_puts_a_free_shape_back() -> None:
    session = session_of("sum-of-squares")
    session.set_leaf("x", np.ones(9))
    session.reset("x")
    assert np.array_equal(session.inputs.leaves["x"], [1.0, 5.0, 6.0])


def test_the_same_seed_gives_the_same_numbers() -> None:
    one, other = session_of("rnn"), session_of("rnn")
    other.set_leaf("b_y", np.array([3.0]))
    one.randomise(7)
    other.randomise(7)
    assert one.inputs.seed == other.inputs.seed == 7
    for name, value in one.inputs.leaves.items():
        assert np.array_equal(value, other.inputs.leaves[name]), name
    other.randomise(8)
    assert not np.array_equal(one.inputs.leaves["W_h"], other.inputs.leaves["W_h"])


def test_leaves_of_one_seed_differ_from_each_other() -> None:
    session = session_of("linear")
    session.randomise(1)
    assert len(set(session.inputs.leaves.values())) == 3


@given(st.integers(0, 999_999))
def test_random_numbers_are_never_zero(seed: int) -> None:
    assert np.all(random_values(f"{seed}/x", (4, 4)) != 0.0)


def test_a_seed_is_only_shown_while_it_gives_these_numbers() -> None:
    session = session_of("rnn")
    session.randomise(7)
    session.set_cell("b_y", (0,), 1.0)
    assert session.inputs.seed is None
    session.undo()
    assert session.inputs.seed == 7
    session.set_size("hidden", 4)  # new cells that seed 7 would not draw
    assert session.inputs.seed is None


def test_a_seed_stays_when_a_size_touches_no_leaf() -> None:
    session = session_of("recursion")
    session.randomise(7)
    session.set_size("T", 4)
    assert session.inputs.seed == 7
    leaves = dict(session.inputs.leaves)
    session.randomise(7)
    assert session.inputs.leaves == leaves


# ── the cursor ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("granularity", ["node", "edge"])
@pytest.mark.parametrize(("lesson_id", "sizes"), CASES)
def test_next_and_previous_are_inverse(
    lesson_id: str, sizes: dict[str, int], granularity: Any
) -> None:
    session = session_of(lesson_id, **sizes)
    session.granularity = granularity
    session.go_to(-1)
    way = [-1]
    while session.next():
        way.append(session.position)
    assert way == sorted(set(way))
    assert session.at_end
    back = [session.position]
    while session.previous():
        back.append(session.position)
    assert back == way[::-1]
    for here, there in itertools.pairwise(way):
        session.go_to(here)
        session.next()
        assert session.position == there
        session.previous()
        assert session.position == here


@pytest.mark.parametrize(("lesson_id", "sizes"), CASES)
def test_by_edge_every_step_is_visited(lesson_id: str, sizes: dict[str, int]) -> None:
    session = session_of(lesson_id, **sizes)
    session.granularity = "edge"
    session.go_to(-1)
    count = 0
    while session.next():
        count += 1
    assert count == len(session.trace.steps)


@pytest.mark.parametrize(("lesson_id", "sizes"), CASES)
def test_by_node_a_turn_is_one_node_and_turns_make_up_the_whole(
    lesson_id: str, sizes: dict[str, int]
) -> None:
    session = session_of(lesson_id, **sizes)
    session.folded = frozenset()  # a folded group is several nodes: see below
    session.go_to(-1)
    assert list(session.turn()) == []
    seen: list[int] = []
    while session.next():
        turn = session.turn()
        assert {session.trace.steps.what(p)[1] for p in turn} == {
            session.trace.steps.what(session.position)[1]
        }
        assert turn == session.active()
        seen.extend(turn)
    assert seen == list(range(len(session.trace.steps)))


def test_by_edge_one_step_is_active_and_the_turn_is_what_came_before_it() -> None:
    session = session_of("linear")
    steps = session.trace.steps
    session.granularity = "edge"
    session.go_to(steps.position[StepKind.SEND, session.trace.graph.index_of["z"], 1])
    assert [steps.key(p) for p in session.turn()] == ["send:z>p:0", "send:z>b:1"]
    assert [steps.key(p) for p in session.active()] == ["send:z>b:1"]
    session.go_to(-1)
    assert list(session.active()) == []


def test_from_the_middle_of_a_turn_next_ends_it_and_previous_leaves_it() -> None:
    session = session_of("linear")
    steps = session.trace.steps
    middle = steps.by_key["send:p>w:0"]
    session.go_to(middle)
    session.next()
    assert steps.key(session.position) == "send:p>x:1"
    session.go_to(middle)
    session.previous()
    assert steps.key(session.position) == "send:z>b:1"


def test_the_cursor_stops_at_both_ends() -> None:
    session = session_of("square")
    assert session.go_to(10**9)
    assert session.position == session.last_position
    assert not session.next()
    assert not session.go_to(10**9)
    assert session.go_to(-99)
    assert session.position == -1
    assert not session.previous()


def test_the_backward_pass_starts_with_the_seed() -> None:
    session = session_of("rnn")
    session.go_to(session.trace.steps.backward_start)
    assert session.in_backward
    assert session.trace.steps.key(session.position) == "seed:L"
    assert gradient(session, "L") == 1.0
    session.previous()
    assert not session.in_backward
    assert gradient(session, "L") is None


@pytest.mark.parametrize("lesson_id", LESSONS)
def test_an_edit_leaves_the_cursor_on_its_step(lesson_id: str) -> None:
    session = session_of(lesson_id)
    for position in range(-1, len(session.trace.steps)):
        session.go_to(position)
        session.randomise(position + 2)
        assert session.position == position


@pytest.mark.parametrize("lesson_id", ["recursion", "tanh-recursion", "rnn"])
def test_a_size_leaves_the_cursor_on_its_step_if_that_is_still_there(lesson_id: str) -> None:
    session = session_of(lesson_id)
    old = session.trace.steps
    stayed = 0
    for position in range(len(old)):
        session.go_to(position)
        session.set_size("T", 4)
        new = session.trace.steps
        if old.key(position) in new.by_key:
            assert new.key(session.position) == old.key(position)
            session.undo()
            assert session.position == position
            stayed += 1
        else:
            session.undo()
    assert stayed > len(old) * 0.7


@pytest.mark.parametrize("lesson_id", ["recursion", "tanh-recursion", "rnn"])
def test_the_start_of_the_backward_pass_stays_the_start(lesson_id: str) -> None:
    session = session_of(lesson_id)
    session.go_to(session.trace.steps.backward_start)
    for number in (5, 1):
        session.set_size("T", number)
        assert session.position == session.trace.steps.backward_start


def test_if_its_step_is_gone_the_cursor_goes_to_the_nearest_earlier_one() -> None:
    session = session_of("tanh-recursion", T=3)
    session.go_to(session.trace.steps.by_key["compute:h[t=3]"])
    session.set_size("T", 2)
    assert session.trace.steps.key(session.position) == "compute:h[t=2]"
    session = session_of("tanh-recursion", T=3)
    session.go_to(session.trace.steps.by_key["send:h[t=3]>z[t=3]:0"])
    session.set_size("T", 2)
    # send:y>h[t=3] is gone as well; before it came the other contribution of y.
    assert session.trace.steps.key(session.position) == "send:y>w_y:0"


def test_the_cursor_stays_in_the_backward_pass_when_the_output_is_another_step() -> None:
    session = session_of("recursion", T=4)  # the output is h of the last step
    session.go_to(session.trace.steps.by_key["send:h[t=4]>h[t=3]:1"])
    session.set_size("T", 2)
    assert session.position == session.trace.steps.backward_start


def test_before_the_first_step_it_stays_there() -> None:
    session = session_of("recursion")
    session.go_to(-1)
    session.set_size("T", 5)
    assert session.position == -1


def test_the_next_touch_goes_round() -> None:
    session = session_of("linear")
    steps = session.trace.steps
    z = session.trace.graph.index_of["z"]
    session.go_to(-1)
    visited = []
    for _ in range(6):
        assert session.next_touch(z)
        visited.append(steps.key(session.position))
    once = ["compute:z", "seed:z", "send:z>p:0", "send:z>b:1"]
    assert visited == [*once, *once[:2]]


def test_a_leaf_is_touched_by_what_it_receives_and_collects() -> None:
    session = session_of("recursion")
    steps = session.trace.steps
    session.go_to(-1)
    visited = []
    for _ in range(3):
        session.next_touch(session.trace.graph.index_of["w_h"])
        visited.append(steps.key(session.position))
    assert visited == ["send:h[t=2]>w_h:0", "send:h[t=1]>w_h:0", "collect:w_h"]


def test_what_nothing_touches_has_no_next_touch() -> None:
    session = session_of("square")
    constant = session.trace.graph.index_of["2"]
    before = session.position
    assert not session.next_touch(constant)
    assert session.position == before


# ── what is known at the cursor ───────────────────────────────────────────────────────────────


class Results(TorchFunctionMode):
    """Keeps every result that torch's autograd follows, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.results: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.grad_fn is not None:
            self.results.append(result)
        return result


def torch_gradients(session: Session) -> list[tuple[Any, Any]]:
    """(value, gradient) of every leaf and then of every operation, by torch alone."""
    leaves = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in session.inputs.leaves.items()
    }
    with Results() as seen:
        out = session.lesson.program(torch, **leaves, **session.inputs.sizes)
    tensors = [*leaves.values(), *seen.results]
    gradients = torch.autograd.grad(out, tensors, allow_unused=True)
    return [
        (t.detach().numpy(), None if g is None else g.numpy())
        for t, g in zip(tensors, gradients, strict=True)
    ]


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(("lesson_id", "sizes"), CLOSED)
def test_at_the_end_every_gradient_is_torchs(
    lesson_id: str, sizes: dict[str, int], seed: int | None
) -> None:
    session = session_of(lesson_id, **sizes)
    if seed is not None:
        session.randomise(seed)
    session.go_to(session.last_position)
    graph = session.trace.graph
    ours = [*graph.leaves.values(), *(n.index for n in graph if n.op is not None)]
    theirs = torch_gradients(session)
    assert len(ours) == len(theirs)
    for node, (value, expected) in zip(ours, theirs, strict=True):
        state = session.node_state(node)
        name = graph.names[node].id
        np.testing.assert_allclose(graph[node].value, value, rtol=1e-12, err_msg=name)
        assert state.computed
        if expected is None:
            assert state.state is GradientState.NEVER, name
            continue
        assert state.state is GradientState.ARRIVED, name
        assert np.shape(state.gradient) == np.shape(value), name
        np.testing.assert_allclose(state.gradient, expected, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("lesson_id", "sizes"), CASES)
def test_a_value_is_known_once_it_is_computed(lesson_id: str, sizes: dict[str, int]) -> None:
    session = session_of(lesson_id, **sizes)
    graph, steps = session.trace.graph, session.trace.steps
    order = [steps.what(p)[1] for p in range(steps.backward_start)]
    assert order == [node.index for node in graph if node.op is not None]
    for position in range(-1, len(steps)):
        session.go_to(position)
        known = set(order[: position + 1])
        for node in graph:
            assert session.node_state(node.index).computed == (
                node.op is None or node.index in known
            )


@pytest.mark.parametrize(("lesson_id", "sizes"), CASES)
def test_a_gradient_arrives_contribution_by_contribution(
    lesson_id: str, sizes: dict[str, int]
) -> None:
    """Followed by hand: whatever was sent is added up here, and must be what is shown."""
    session = session_of(lesson_id, **sizes)
    graph, steps = session.trace.graph, session.trace.steps
    sent: dict[int, list[Any]] = {}
    for position in range(steps.backward_start, len(steps)):
        session.go_to(position)
        step = steps[position]
        if step.kind is StepKind.SEND:
            sent.setdefault(step.edge.target, []).append(step.contribution)
        for node in range(len(graph)):
            state = session.node_state(node)
            got = sent.get(node, [])
            if node == graph.output:
                assert (state.state, state.expected) == (GradientState.ARRIVED, 0)
                continue
            assert state.arrived == len(got)
            assert state.expected == (len(session.trace.arrivals.get(node, ())))
            expected_state = (
                GradientState.NEVER if not state.expected
                else GradientState.NONE if not got
                else GradientState.ARRIVED if len(got) == state.expected
                else GradientState.PARTIAL
            )  # fmt: skip
            assert state.state is expected_state
            if got:
                np.testing.assert_allclose(state.gradient, sum(got), rtol=1e-12)
            else:
                assert state.gradient is None


def test_the_partial_sums_of_the_notebooks_recursion() -> None:
    session = session_of("recursion")  # h0 = 0.5, w_h = 2: the terms are h1 = 1 and 2·h0 = 1
    steps, w_h = session.trace.steps, session.trace.graph.index_of["w_h"]
    session.go_to(steps.backward_start)
    assert session.node_state(w_h).state is GradientState.NONE
    session.go_to(steps.by_key["send:h[t=2]>w_h:0"])
    state = session.node_state(w_h)
    assert (state.gradient, state.arrived, state.expected) == (1.0, 1, 2)
    assert state.state is GradientState.PARTIAL
    session.go_to(steps.by_key["send:h[t=1]>w_h:0"])
    state = session.node_state(w_h)
    assert (state.gradient, state.state) == (2.0, GradientState.ARRIVED)


def test_a_nodes_own_copy_counts_twice() -> None:
    def program(xp: Any, x: Any) -> Any:
        y = x * x
        return y

    lesson = Lesson(
        "twice", "Twice", "Test", 1, "", program, (Leaf("x", 3.0, "a number"),),
        (Equation("y", "x * x"),), (),
    )  # fmt: skip
    session = Session(lesson)
    session.granularity = "edge"
    session.go_to(session.trace.steps.by_key["send:y>x:0"])
    state = session.node_state(0)
    assert (state.gradient, state.arrived, state.expected) == (3.0, 1, 2)
    session.next()
    assert session.node_state(0).gradient == 6.0


def test_what_the_output_does_not_depend_on_never_receives() -> None:
    def program(xp: Any, x: Any, unused: Any) -> Any:
        aside = x * 3.0  # noqa: F841
        constant = xp.sum(unused * 0.0)  # noqa: F841
        y = x + 1.0
        return y

    lesson = Lesson(
        "never", "Never", "Test", 1, "", program,
        (Leaf("x", 3.0, "a number"), Leaf("unused", [1.0, 2.0], "not used")), (), (),
    )  # fmt: skip
    session = Session(lesson)
    session.go_to(session.last_position)
    graph = session.trace.graph
    for name in ("unused", "aside", "constant"):
        state = session.node_state(graph.index_of[name])
        assert (state.state, state.gradient) == (GradientState.NEVER, None), name
    x = session.node_state(graph.index_of["x"])
    assert (x.gradient, x.expected) == (1.0, 1)


# ── folding ───────────────────────────────────────────────────────────────────────────────────


def dense(xp: Any, x: Any, w: Any) -> Any:
    z = x * w
    out = xp.tanh(z)
    return out


def two_layers(xp: Any, x: Any, w: Any, v: Any) -> Any:
    h = dense(xp, x, w)
    q = h * 2.0
    y = dense(xp, q, v)
    L = y * y
    return L


LAYERS = Lesson(
    id="layers",
    title="Two layers",
    chapter="Test",
    order=1,
    idea="…",
    program=two_layers,
    leaves=(Leaf("x", 0.4, "x"), Leaf("w", 1.3, "w"), Leaf("v", -0.7, "v")),
    forward=(),
    derivation=(),
    folded=("dense",),
)


def stops_of(session: Session) -> list[str]:
    """What a walk by node comes to, from before the first step."""
    session.go_to(-1)
    found = []
    while session.next():
        found.append(session.trace.steps.key(session.position))
    return found


def test_a_folded_group_is_stepped_over_at_once() -> None:
    session = Session(LAYERS)
    assert session.folded == {"h", "y"}
    folded = stops_of(session)
    # One stop each: h, q, y, L, the seed, L sends, y, q, h. (Leaves have one use and no turn.)
    assert len(folded) == 9
    assert folded[0] == "compute:h" and folded[2] == "compute:y"
    assert session.at_end
    session.folded = frozenset()
    assert len(stops_of(session)) == 13
    assert set(folded) <= set(stops_of(session))


def test_folded_stops_cover_every_step_both_ways() -> None:
    session = Session(LAYERS)
    session.go_to(-1)
    seen: list[int] = []
    way = [-1]
    while session.next():
        seen.extend(session.turn())
        way.append(session.position)
    assert seen == list(range(len(session.trace.steps)))
    back = [session.position]
    while session.previous():
        back.append(session.position)
    assert back == way[::-1]


def test_by_edge_a_folded_group_is_walked_through() -> None:
    session = Session(LAYERS)
    session.granularity = "edge"
    assert len(stops_of(session)) == len(session.trace.steps)


def test_unfolding_and_folding_again() -> None:
    session = Session(LAYERS)
    node = session.trace.graph.index_of["dense/z"]
    assert session.folded_group(node) is not None
    group = session.toggle_fold(node)
    assert group is not None and group.id == "h"
    assert session.folded == {"y"}
    session.toggle_fold(node)
    assert session.folded == {"h", "y"}
    assert session.toggle_fold(session.trace.graph.index_of["q"]) is None
    assert session.fold_all() is False and session.folded == frozenset()
    assert session.fold_all() is True and session.folded == {"h", "y"}


def test_leaves_that_collect_inside_of_a_folded_run_belong_to_it() -> None:
    session = session_of("mlp")
    group = session.trace.graph.groups[-1]
    session.folded = frozenset({group.id})
    inside = {
        n.index for n in session.trace.graph if group in session.trace.graph.groups_around(n.index)
    }
    session.go_to(-1)
    runs = 0
    while session.next():
        nodes = {session.trace.steps.what(p)[1] for p in session.turn()}
        runs += bool(nodes & inside)
    assert runs == 2  # once forward, once backward


# ── opening ───────────────────────────────────────────────────────────────────────────────────


def test_opening_a_node_and_closing_it_again() -> None:
    session = session_of("tanh-recursion")
    graph = session.trace.graph
    closed = len(graph)
    h2, z2 = graph.index_of["h[t=2]"], graph.index_of["z[t=2]"]
    assert session.openable(h2) == "h"
    assert session.openable(z2) is None  # a product, written as an operator
    gradient = session.trace.gradients[graph.leaves["w_h"]]
    session.go_to(session.trace.steps.position[StepKind.SEND, h2, 0])
    key = session.trace.steps.key(session.position)
    assert session.toggle_open("h") is True
    assert len(session.trace.graph) > closed
    assert session.trace.gradients[session.trace.graph.leaves["w_h"]] == pytest.approx(gradient)
    inside = session.trace.graph.index_of["tanh/power[t=2]"]
    assert session.openable(inside) == "h"  # closes it
    assert session.in_backward
    assert session.toggle_open("h") is False
    assert len(session.trace.graph) == closed
    assert session.undo() == "h closed"
    assert session.undo() == "h opened"
    assert session.inputs.opened == frozenset()
    assert key in session.trace.steps.by_key


def test_what_is_open_stays_open_through_edits_sizes_and_draws() -> None:
    session = session_of("tanh-recursion")
    session.toggle_open("h")
    for change in (
        lambda: session.set_leaf("w_h", 0.3),
        lambda: session.set_size("T", 4),
        lambda: session.randomise(3),
        session.reset,
    ):
        change()
        assert session.inputs.opened == {"h"}
    session.reset_everything()
    assert session.inputs.opened == frozenset()


def test_what_has_no_steps_is_refused_and_nothing_changes() -> None:
    session = session_of("linear")
    before = session.inputs
    with pytest.raises(EditRefused, match="no primitive steps"):
        session.toggle_open("z")
    assert session.inputs is before


def test_the_other_form_of_an_open_node_is_the_closed_one() -> None:
    session = session_of("tanh-recursion")
    closed = len(session.trace.graph)
    opened = len(session.other_form("h").graph)
    session.toggle_open("h")
    assert len(session.trace.graph) == opened
    assert len(session.other_form("h").graph) == closed


def test_an_open_node_in_a_helper_opens_by_its_name_there() -> None:
    def squashed(xp: Any, v: Any) -> Any:
        s = xp.sigmoid(v)
        return s

    def program(xp: Any, x: Any, w: Any, v: Any) -> Any:
        h = squashed(xp, x * w)
        y = h * v
        return y

    session = Session(replace(LAYERS, program=program, folded=()))
    h = session.trace.graph.index_of["h"]
    assert session.openable(h) == "s" and session.openable_names() == ["s"]
    assert session.toggle_open("s") is True
    h = session.trace.graph.index_of["h"]  # still the caller's name
    assert session.openable(h) == "s"
    assert session.toggle_open("s") is False


def test_a_helper_whose_result_is_called_like_an_open_node_is_not_taken_for_its_steps() -> None:
    def program(xp: Any, x: Any, w: Any, v: Any) -> Any:
        h = xp.tanh(x * w)
        h = dense(xp, h, v)
        y = h * v
        return y

    session = Session(replace(LAYERS, program=program, folded=()))
    session.toggle_open("h")
    assert session.openable(session.trace.graph.index_of["dense/z"]) is None
    assert session.openable(session.trace.graph.index_of["tanh/power"]) == "h"


def test_steps_that_do_nothing_are_refused_and_a_single_step_is_not() -> None:
    def program(xp: Any, x: Any, w: Any, v: Any) -> Any:
        h = xp.square(x)
        y = h * w * v
        return y

    def unchanged(xp: Any, a: Any) -> Any:
        return a

    def product(xp: Any, a: Any) -> Any:
        return a * a

    lesson = replace(LAYERS, program=program, folded=())
    with pytest.raises(EditRefused, match="no primitive steps"):
        Session(replace(lesson, opens={"h": unchanged})).toggle_open("h")
    session = Session(replace(lesson, opens={"h": product}))
    assert session.toggle_open("h") is True
    assert session.openable(session.trace.graph.index_of["h"]) == "h"
    assert session.toggle_open("h") is False


def test_an_open_node_whose_name_goes_away_with_a_size_comes_back_with_it() -> None:
    def program(xp: Any, x: Any, w: Any, v: Any, *, T: int) -> Any:
        y = x * w * v
        for _ in range(1, T):
            f = xp.tanh(y)
            y = f * w
        return y

    size = Size("T", 2, 1, 4, "turns")
    session = Session(replace(LAYERS, program=program, folded=(), sizes=(size,)))
    session.toggle_open("f")
    count = len(session.trace.graph)
    session.set_size("T", 1)
    assert session.openable_names() == [] and session.inputs.opened == {"f"}
    session.set_size("T", 2)
    assert len(session.trace.graph) == count
    assert session.undo() == "T = 2" and session.undo() == "T = 1"
    assert session.undo() == "f opened"
    assert session.openable_names() == ["f"] and not session.inputs.opened


def unrolled(xp: Any, x: Any, w: Any, v: Any, *, T: int) -> Any:
    for t in range(T):
        x = dense(xp, x, w)
        q = x * v
    return q


def test_groups_that_a_size_adds_are_folded_as_the_others_are() -> None:
    size = Size("T", 2, 1, 6, "turns")
    session = Session(replace(LAYERS, program=unrolled, sizes=(size,)))
    assert session.folded == {"x[t=0]", "x[t=1]"}
    session.set_size("T", 4)
    assert {f"x[t={t}]" for t in range(4)} == session.folded
    session.toggle_fold(session.trace.graph.index_of["dense/z[t=1]"])
    session.set_size("T", 5)
    assert {f"x[t={t}]" for t in (0, 2, 3, 4)} == session.folded
    assert session.fold_all() is False
    session.set_size("T", 6)
    assert session.folded == frozenset()
    session.set_size("T", 1)
    session.fold_all()
    session.set_size("T", 3)
    assert session.folded == {"x[t=0]", "x[t=1]", "x[t=2]"}


def test_from_the_middle_of_a_folded_group_both_ways_lead_out_of_it() -> None:
    size = Size("T", 3, 1, 6, "turns")
    session = Session(replace(LAYERS, program=unrolled, sizes=(size,)))
    ends = session.stops
    for position in range(session.last_position):
        session.go_to(position)
        session.next()
        assert session.position == next(end for end in ends if end > position)
        session.go_to(position)
        session.previous()
        assert session.position == max((end for end in ends if end < position), default=-1)
