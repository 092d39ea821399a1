"""Steps in words and formulas: what stands there must be true.

Where a line is a calculation, it is read back and calculated.
"""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.engine.formula import as_text
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import StepKind, Trace, backward
from backprop_tui.explain import (
    MAX_PART,
    MAX_TERMS,
    Explanation,
    Notation,
    explain,
    first_not_finite,
    index_text,
)
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.session import Session

SCALAR = ["square", "loss", "squared-loss", "linear", "recursion", "tanh-recursion"]
SIZES: dict[str, list[dict[str, int]]] = {
    "recursion": [{}, {"T": 1}, {"T": 9}],
    "tanh-recursion": [{}, {"T": 1}, {"T": 6}],
    "rnn": [{}, {"T": 1, "hidden": 1}, {"T": 3, "hidden": 2}, {"T": 2, "hidden": 5}],
}
EVERY = [(lesson.id, s) for lesson in catalogue() for s in SIZES.get(lesson.id, [{}])]


def session_of(lesson_id: str, leaves: Any = None, **sizes: int) -> Session:
    return Session(find_lesson(lesson_id), leaves, sizes)


def explained(session: Session, key: str) -> Explanation:
    """The explanation of the step with a key."""
    trace = session.trace
    return explain(trace, trace.steps[trace.steps.by_key[key]], session.lesson.notes)


def trace_of(program: Any, **leaves: Any) -> Trace:
    values = {n: float(v) if np.ndim(v) == 0 else np.array(v, float) for n, v in leaves.items()}
    return backward(record(program, values))


def step(trace: Trace, key: str) -> Explanation:
    return explain(trace, trace.steps[trace.steps.by_key[key]])


def shown(explanation: Explanation) -> tuple[str, ...]:
    """Title and lines, each line with the sign of its kind."""
    return (as_text(explanation.title), *(line.text for line in explanation.lines))


def kind(explanation: Explanation, wanted: str) -> list[str]:
    return [line.text for line in explanation.lines if line.kind == wanted]


# ── reading what is shown ─────────────────────────────────────────────────────────────────────

HIGH = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
MATH = {
    "tanh": np.tanh, "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos,
    "outer": np.outer, "nan": np.nan, "inf": np.inf, "array": np.array,
    "σ": lambda a: 1 / (1 + np.exp(-a)), "root": np.sqrt, "π": math.pi,
    "max": lambda a, *b: np.maximum(a, *b) if b else np.max(a),
    "min": lambda a, *b: np.minimum(a, *b) if b else np.min(a),
    "mean": np.mean, "var": np.var, "normalised": lambda a: (a - np.mean(a)) / np.std(a),
    "softmax": lambda a: np.exp(a) / np.sum(np.exp(a)),
    "log_softmax": lambda a: a - np.log(np.sum(np.exp(a))), "pick": lambda a, row: a[row],
    "where": np.where, "erf": np.vectorize(math.erf), "cumsum": np.cumsum, "reverse": np.flip,
    "detach": lambda a: a, "single": lambda a: np.array([[a]]),
}  # fmt: skip


def calculated(text: str) -> Any:
    """What a line of numbers comes to, for someone with a calculator."""
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: f"**({m[0].translate(HIGH)})", text)
    text = text.replace("−", "-").replace("·", "*").replace("⊙", "*").replace("^", "**")
    text = re.sub(r"\[\[([^\[\] ]+)\]\]ᵀ?", r"single(\1)", text)  # a matrix of one cell
    while "[" in text:  # from the inside out
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: _in_square_brackets(m[1]), text)
    text = re.sub(r"√([\d.e-]+)", r"(\1)**0.5", text).replace("√(", "root(")
    text = re.sub(r"√(array\(\([^()]*\)\))", r"root(\1)", text)
    with np.errstate(all="ignore"):
        return eval(text, {"__builtins__": {}, **MATH})


def _in_square_brackets(inside: str) -> str:
    """[z > 0] is 1 where it is true and else 0; [1 2] is an array."""
    if re.search("[<>=]", inside):
        return f"(1.0 * ({inside.replace('=', '==')}))"
    return f"array(({', '.join(inside.split())},))"


def test_the_reader_reads() -> None:
    assert calculated("40 · (1 − 0.5²)") == 30.0
    assert calculated("(−3)² − 1e−3") == 8.999
    assert calculated("√4 + √(9) · 2⁻¹") == 3.5
    assert calculated("√(max([3 1]) · (1 + 2)) + max(1, 2)") == 5.0
    assert list(calculated("[1 −2] ⊙ (1 − [0.5 0]²)")) == [0.75, -2.0]
    assert calculated("2 · [2 > −1] + 3 · [2 = −1]") == 2.0
    assert calculated("[[2]]ᵀ · [[−3]]").tolist() == [[-6.0]]
    assert list(calculated("[4 5 6] ⊙ [[1.5 −1 0] > 0]")) == [4.0, 0.0, 0.0]


def check_numbers(session: Session, tolerance: float = 1e-3) -> int:
    """Calculate every line of numbers of a session, and compare with what came out."""
    trace, lines = session.trace, 0
    for made in trace.steps:
        explanation = explain(trace, made, session.lesson.notes)
        result = made.contribution if made.kind is StepKind.SEND else made.total
        found = [line.removeprefix("= ") for line in kind(explanation, "equals")]
        if made.kind is StepKind.COLLECT:
            found.append(explanation.formula.split(" = ")[1])
        for text in found:
            if "⟨" in text or "Σ" in text or "…" in text or "(" in _words_before_brackets(text):
                continue
            np.testing.assert_allclose(
                calculated(text), result, rtol=tolerance, atol=1e-300,
                err_msg=f"{session.lesson.id} {made.key}: {text}",
            )  # fmt: skip
            lines += 1
    return lines


def _words_before_brackets(text: str) -> str:
    """Calls that only move cells: scatter(…), transpose(…), expand(…), or an index after a name."""
    moving = "scatter|transpose|expand|reshape|narrow|select|onehot|first"
    return "".join(re.findall(rf"(?:{moving})\(", text))


# ── numbers ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_the_numbers_come_to_the_result(lesson_id: str, sizes: dict[str, int]) -> None:
    session = session_of(lesson_id, **sizes)
    if lesson_id in SCALAR:
        assert check_numbers(session) >= len(session.trace.steps) - 1
    else:
        # Where all are matrices, their numbers stand in the inspector, not in the formulas.
        few = {"matrix-linear": 0, "sum-of-squares": 2, "rnn": 2}
        assert check_numbers(session) >= few.get(lesson_id, 1)


@pytest.mark.parametrize("seed", range(1, 9))
@pytest.mark.parametrize("lesson_id", SCALAR)
def test_random_numbers_come_to_the_result(lesson_id: str, seed: int) -> None:
    session = session_of(lesson_id)
    session.randomise(seed)
    check_numbers(session)


@given(
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-20),
    st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-20),
)
def test_any_numbers_come_to_the_result(x: float, y: float) -> None:
    check_numbers(session_of("squared-loss", {"x": x, "y_actual": y}))


@pytest.mark.parametrize("w_h", [3.0, 5.0, -4.0, 12.0])
def test_where_tanh_is_flat_there_are_digits_enough(w_h: float) -> None:
    """1 − h² with h rounded to 0.99991 is 1 % off: a learner would see a wrong sum."""
    check_numbers(session_of("tanh-recursion", {"w_h": w_h, "h0": 0.9}, T=3))


def test_a_difference_of_almost_equal_numbers_has_digits_enough() -> None:
    session = session_of("loss", {"x": 1.0, "y_actual": 1.0000004})
    assert explained(session, "compute:loss").numbers == "= 1.0000004 − 1 = 4e−7"


def test_terms_that_almost_cancel_have_digits_enough() -> None:
    def program(xp: Any, x: Any, a: Any) -> Any:
        y = a * x - x
        return y

    collected = step(trace_of(program, x=1.0, a=1.0000003), "collect:x")
    # −1 arrives from the difference, then 1.0000003 from the product.
    assert collected.formula == "∂y/∂x = −1 + 1.0000003"
    assert collected.numbers == "= 3e−7"


def test_where_five_digits_do_there_are_five() -> None:
    session = session_of("tanh-recursion")
    for made in session.trace.steps:
        for line in explain(session.trace, made).lines:
            if line.kind in ("formula", "equals"):
                assert not re.search(r"\d\.\d{6}", line.text), line.text


# ── symbols ───────────────────────────────────────────────────────────────────────────────────

LOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def written(node_id: str) -> str:
    """A scalar lesson's name as in mathematics, from its id: `h[t=2]` is h₂, `h0` is h₀."""
    if match := re.fullmatch(r"(\w+)\[t=(\d+)\]", node_id):
        return match[1] + match[2].translate(LOW)
    if match := re.fullmatch(r"([a-z])(\d)", node_id):
        return match[1] + match[2].translate(LOW)
    return node_id


@pytest.mark.parametrize("sizes", [{}, {"T": 1}, {"T": 12}])
@pytest.mark.parametrize("lesson_id", SCALAR)
def test_the_left_side_names_the_gradient_and_the_title_the_nodes(
    lesson_id: str, sizes: dict[str, int]
) -> None:
    session = session_of(lesson_id, **(sizes if "recursion" in lesson_id else {}))
    trace = session.trace
    names = [written(name.id) for name in trace.graph.names]
    out = names[trace.graph.output]
    for made in trace.steps:
        explanation = explain(trace, made)
        left, title = explanation.formula.split(" = ")[0], as_text(explanation.title)
        name = names[made.node]
        if made.kind is StepKind.COMPUTE:
            assert (left, title) == (name, f"{name} is computed")
        elif made.kind is StepKind.SEND:
            target = names[made.edge.target]
            several = len(trace.arrivals[made.edge.target]) > 1
            sign = " += " if several else " = "
            assert explanation.formula.startswith(f"∂{out}/∂{target}{sign}")
            assert title == f"{name} sends to {target}"
            upstream = f"∂{out}/∂{name}"
            assert upstream in explanation.formula.split(sign)[1]
        elif made.kind is StepKind.COLLECT:
            assert (left, title) == (f"∂{out}/∂{name}", f"{name} collects")
        else:
            assert explanation.formula == f"∂{out}/∂{out} = 1"
            assert title == f"The backward pass starts at {out}"


@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_every_symbol_refers_to_the_node_that_it_names(
    lesson_id: str, sizes: dict[str, int]
) -> None:
    session = session_of(lesson_id, **sizes)
    trace = session.trace
    notation = Notation(trace)
    for made in trace.steps:
        explanation = explain(trace, made)
        for segment in (*explanation.title, *(s for ln in explanation.lines for s in ln.segments)):
            if segment.ref is None:
                continue
            node = trace.graph.index_of[segment.ref]
            names = {notation.value(node).text, notation.gradient(node).text}
            names |= {f"({name})" for name in names}
            names.add(notation.value(node).text.removesuffix("ᵀ"))  # Wᵀ, transposed again
            assert segment.text in names


# By hand, from the notebook's In [8]: h0 = 0.5, w_h = 2, w_y = 40, so z1 = 1, h1 = tanh 1 =
# 0.761594…, z2 = 2·h1 = 1.523188…, h2 = tanh z2 = 0.909251…, y = 40·h2 = 36.37006…;
# 1 − h2² = 0.173261…, dz2 = 6.930455…, terms of w_h: dz2·h1 = 5.278194… and dz1·h0 = 2.910613….
TANH = {
    "compute:h[t=1]": (
        "h₁ is computed", "h₁ = tanh(z₁)", "= tanh(1)", "= 0.76159",
        "tanh squashes every number into the range from −1 to 1.",
    ),
    "compute:y": (
        "y is computed", "y = w_y · h₂", "= 40 · 0.90925", "= 36.37",
        "A product: each operand decides how strongly the other one counts.",
    ),
    "seed:y": (
        "The backward pass starts at y", "∂y/∂y = 1",
        "The backward pass starts at the output: y moves exactly as far as y does.",
    ),
    "send:y>h[t=2]:1": (
        "y sends to h₂", "∂y/∂h₂ = ∂y/∂y · w_y", "= 1 · 40", "= 40",
        "In a product the slope for one factor is the other factor.",
    ),
    "send:z[t=2]>w_h:0": (
        "z₂ sends to w_h", "∂y/∂w_h += ∂y/∂z₂ · h₁", "= 6.9305 · 0.76159", "= 5.2782",
        "In a product the slope for one factor is the other factor.",
        "contribution 1 of 2: 5.2782 so far, waiting for 1 more",
    ),
    "send:z[t=1]>w_h:0": (
        "z₁ sends to w_h", "∂y/∂w_h += ∂y/∂z₁ · h₀", "= 5.8212 · 0.5", "= 2.9106",
        "In a product the slope for one factor is the other factor.",
        "contribution 2 of 2: 8.1888 altogether, all have arrived",
    ),
    "collect:w_h": (
        "w_h collects", "∂y/∂w_h = 5.2782 + 2.9106", "= 8.1888",
        "w_h is used 2 times. A nudge of it acts through every use at once, "
        "so the contributions are added.",
        "from z₂  5.2782", "from z₁  2.9106",
    ),
}  # fmt: skip

SQUARED = {
    "compute:diff": ("y_pred − y_actual", ["= 1 − 10", "= −9"]),
    "compute:loss": ("diff²", ["= (−9)²", "= 81"]),
    "send:loss>diff:0": ("∂loss/∂loss · 2 · diff", ["= 1 · 2 · (−9)", "= 1 · (−18)", "= −18"]),
    "send:diff>y_pred:0": ("∂loss/∂diff", ["= −18"]),
    "send:diff>y_actual:1": ("−∂loss/∂diff", ["= −(−18)", "= −18 · (−1)", "= 18"]),
    "send:y_pred>x:0": ("∂loss/∂y_pred · 2 · x", ["= −18 · 2 · 1", "= −18 · 2", "= −36"]),
}  # −36 is the notebook's In [3]


@pytest.mark.parametrize("key", TANH)
def test_tanh_recursion_word_by_word(key: str) -> None:
    session = session_of("tanh-recursion")
    trace = session.trace
    without_notes = explain(trace, trace.steps[trace.steps.by_key[key]])
    assert shown(without_notes) == TANH[key]


def test_the_slope_of_tanh_word_by_word() -> None:
    through = explained(session_of("tanh-recursion"), "send:h[t=2]>z[t=2]:0")
    assert through.formula == "∂y/∂z₂ = ∂y/∂h₂ · (1 − h₂²)"
    assert kind(through, "equals") == ["= 40 · (1 − 0.90925²)", "= 40 · 0.17326", "= 6.9305"]


@pytest.mark.parametrize("key", SQUARED)
def test_squared_loss_word_by_word(key: str) -> None:
    explanation = explained(session_of("squared-loss"), key)
    assert (explanation.formula.split(" = ", 1)[1], kind(explanation, "equals")) == SQUARED[key]


def test_the_matrix_layer_word_by_word() -> None:
    session = session_of("matrix-linear")
    bias = explained(session, "send:Z>B:1")
    assert bias.formula == "∂O/∂B = Σ ∂O/∂Z"
    assert bias.numbers == "= Σ ⟨5×3⟩ = ⟨1×3⟩"
    assert kind(bias, "why")[1] == (
        "B was repeated 5 times to fit (broadcast), so what comes back is added up "
        "over axis 0: 5×3 becomes 1×3."
    )
    weights = explained(session, "send:Q>W:1")
    assert weights.formula == "∂O/∂W = Xᵀ @ ∂O/∂Q"
    assert weights.numbers == "= ⟨5×2⟩ᵀ @ ⟨5×3⟩ = ⟨2×3⟩"
    inputs = explained(session, "send:Q>X:0")
    assert inputs.formula == "∂O/∂X = ∂O/∂Q @ Wᵀ"
    assert inputs.numbers == "= ⟨5×3⟩ @ ⟨2×3⟩ᵀ = ⟨5×2⟩"
    assert explained(session, "compute:O").numbers == "= Σ(⟨5×3⟩) = 11.921"  # the notebook's
    assert explained(session, "send:O>Z:0").formula == "∂O/∂Z = expand(∂O/∂O)"


def test_the_recurrent_network_word_by_word() -> None:
    session = session_of("rnn")
    assert explained(session, "compute:z_x[t=2]").formula == "z_x₂ = x₂ @ W_xᵀ + b_x"
    assert explained(session, "compute:z[t=1]").formula == "z₁ = z_x₁ + z_h₁"
    assert explained(session, "compute:x_t[t=1]").formula == "x₁ = x[0]"
    assert explained(session, "compute:J[t=1]").formula == "J₁ = 0 + diff₁²"
    assert explained(session, "compute:J[t=2]").formula == "J₂ = J₁ + diff₂²"
    through = explained(session, "send:h[t=2]>z[t=2]:0")
    assert through.formula == "∂L/∂z₂ = ∂L/∂h₂ ⊙ (1 − h₂²)"
    back = explained(session, "send:z_h/matmul[t=2]>h[t=1]:0")
    assert back.formula == "∂L/∂h₁ += ∂L/∂(h₁ @ W_hᵀ) @ W_h"
    assert as_text(back.title) == "h₁ @ W_hᵀ sends to h₁"
    outer = explained(session, "send:z_h/matmul[t=2]>z_h/transpose[t=2]:1")
    assert outer.formula == "∂L/∂W_hᵀ = outer(h₁, ∂L/∂(h₁ @ W_hᵀ))"
    minus = explained(session, "send:diff[t=2]>y_hat[t=2]:1")
    assert minus.formula == "∂L/∂y_hat₂ = −∂L/∂diff₂"


def test_parts_of_the_same_name_are_told_apart_by_their_step() -> None:
    collected = explained(session_of("rnn"), "collect:W_h")
    assert kind(collected, "ledger") == [
        "from W_hᵀ at t = 2  ⟨3×3⟩",
        "from W_hᵀ at t = 1  ⟨3×3⟩",
    ]


# ── sums, and what is awaited ─────────────────────────────────────────────────────────────────


def test_waiting_counts_down() -> None:
    session = session_of("recursion", T=3)  # h: 0.5, 1, 2, 4; terms dh3·h2 = 2, 2·1, 4·0.5
    states = [kind(explained(session, f"send:h[t={t}]>w_h:0"), "state") for t in (3, 2, 1)]
    assert states == [
        ["contribution 1 of 3: 2 so far, waiting for 2 more"],
        ["contribution 2 of 3: 4 so far, waiting for 1 more"],
        ["contribution 3 of 3: 6 altogether, all have arrived"],
    ]


def test_a_single_contribution_is_awaited_by_nobody() -> None:
    sent = explained(session_of("linear"), "send:p>w:0")
    assert kind(sent, "state") == []
    assert " += " not in sent.formula


def test_many_terms_are_shortened_but_the_ledger_has_them_all() -> None:
    session = session_of("recursion", {"h0": 1.0, "w_h": 1.0}, T=10)  # each term is 1
    collected = explained(session, "collect:w_h")
    assert collected.formula == "∂h₁₀/∂w_h = 1 + 1 + 1 + … + 1 + 1"
    assert collected.numbers == "= 10"
    assert len(kind(collected, "ledger")) == 10
    few = explained(session_of("recursion", T=MAX_TERMS), "collect:w_h")
    assert "…" not in few.formula


def test_the_same_operand_twice_is_two_contributions() -> None:
    def program(xp: Any, x: Any) -> Any:
        y = x * x
        return y

    trace = trace_of(program, x=3.0)
    assert step(trace, "send:y>x:0").formula == "∂y/∂x += ∂y/∂y · x"
    collected = step(trace, "collect:x")
    assert collected.formula == "∂y/∂x = 3 + 3"
    assert kind(collected, "ledger") == ["from y  3", "from y  3"]


def test_a_negative_term_stands_in_brackets() -> None:
    def program(xp: Any, a: Any, b: Any) -> Any:
        y = (a * b) * (a + b)
        return y

    # CS231n's and the lectures' example f = (ab)(a+b) at −2, 3: da = −3, db = −8.
    collected = step(trace_of(program, a=-2.0, b=3.0), "collect:b")
    assert collected.formula == "∂y/∂b = −6 + (−2)"
    assert collected.numbers == "= −8"


def test_uses_that_lead_nowhere_are_not_counted_as_contributions() -> None:
    def program(xp: Any, x: Any) -> Any:
        aside = x + 5.0  # noqa: F841
        y = x * x
        return y

    collected = step(trace_of(program, x=3.0), "collect:x")
    assert kind(collected, "why")[0].startswith("x is used 3 times, 2 of them on the way to y.")


def test_an_output_of_several_cells_starts_with_a_1_in_each() -> None:
    def program(xp: Any, x: Any) -> Any:
        y = x * 2.0
        return y

    seed = step(trace_of(program, x=[1.0, 2.0, 3.0]), "seed:y")
    assert seed.formula == "∂y/∂y = [1 1 1]"
    assert kind(seed, "why") == [
        "The backward pass starts at the output. y is not a single number, so it starts from the "
        "sum of the cells: each of them begins with 1."
    ]


# ── broadcasting ──────────────────────────────────────────────────────────────────────────────


def test_a_number_that_was_spread_over_a_matrix_is_summed_over_both_axes() -> None:
    def program(xp: Any, X: Any, b: Any) -> Any:
        Z = X + b
        y = xp.sum(Z)
        return y

    sent = step(trace_of(program, X=np.ones((2, 3)), b=1.0), "send:Z>b:1")
    assert sent.formula == "∂y/∂b = Σ ∂y/∂Z"
    assert sent.numbers == "= Σ ⟨2×3⟩ = 6"
    assert kind(sent, "why")[1] == (
        "b was repeated 6 times to fit (broadcast), so what comes back is added up "
        "over axes 0, 1: 2×3 becomes one number."
    )


def test_the_sum_over_a_product_has_brackets() -> None:
    def program(xp: Any, x: Any, w: Any) -> Any:
        z = x * w
        y = xp.sum(z)
        return y

    sent = step(trace_of(program, x=[1.0, 2.0, 3.0], w=2.0), "send:z>w:1")
    assert sent.formula == "∂y/∂w = Σ (∂y/∂z ⊙ x)"
    assert sent.numbers == "= Σ ([1 1 1] ⊙ [1 2 3]) = 6"


def test_without_broadcasting_nothing_is_said_of_it() -> None:
    for key in ("send:Z>Q:0", "send:Q>X:0"):
        sent = explained(session_of("matrix-linear"), key)
        assert not any("broadcast" in line for line in kind(sent, "why"))


# ── unnamed parts ─────────────────────────────────────────────────────────────────────────────


def nested(xp: Any, a: Any, b: Any, c: Any) -> Any:
    p = (a + b) * c
    q = a - (b + c)
    r = ((a + b) * (c + a)) ** 2
    s = (-(a + b)) ** 2
    t = xp.sqrt(a + b) ** 2
    u = xp.tanh(a + b) * c
    v = c / (a * b)
    w = (a - b) + c
    y = p + q + r + s + t + u + v + w
    return y


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("p", "p = (a + b) · c"),
        ("q", "q = a − (b + c)"),
        ("r", "r = ((a + b) · (c + a))²"),
        ("s", "s = (−(a + b))²"),
        ("t", "t = (√(a + b))²"),
        ("u", "u = tanh(a + b) · c"),
        ("v", "v = c / (a · b)"),
        ("w", "w = a − b + c"),
    ],
)
def test_nested_parts_are_written_so_that_they_mean_what_was_computed(
    name: str, formula: str
) -> None:
    trace = trace_of(nested, a=2.0, b=3.0, c=4.0)
    text = step(trace, f"compute:{name}").formula
    assert text == formula
    right = text.split(" = ")[1]
    for letter, number in (("a", "2"), ("b", "3"), ("c", "4")):
        right = re.sub(rf"\b{letter}\b", number, right)
    value = trace.graph[trace.graph.index_of[name]].value
    right = right.replace("√(2 + 3)", "(2 + 3)**0.5")
    assert calculated(right) == pytest.approx(value)


def test_the_other_factor_stands_in_brackets_if_it_is_a_sum() -> None:
    trace = trace_of(nested, a=2.0, b=3.0, c=4.0)
    assert step(trace, "send:p>c:1").formula == "∂y/∂c += ∂y/∂p · (a + b)"
    assert step(trace, "send:p>p/add:0").formula == "∂y/∂(a + b) = ∂y/∂p · c"


def test_an_index_binds_tighter_than_a_sum() -> None:
    def program(xp: Any, a: Any, b: Any) -> Any:
        z = (a + b)[0]
        return z

    trace = trace_of(program, a=[1.0, 2.0], b=[3.0, 4.0])
    assert step(trace, "compute:z").formula == "z = (a + b)[0]"


def test_products_of_arrays_keep_their_brackets() -> None:
    def program(xp: Any, A: Any, B: Any, x: Any) -> Any:
        z = (A * B) @ x
        y = xp.sum(z * (A @ x))
        return y

    trace = trace_of(program, A=np.eye(2), B=np.ones((2, 2)), x=[1.0, 2.0])
    assert step(trace, "compute:z").formula == "z = (A ⊙ B) @ x"
    assert step(trace, "compute:y/mul").formula == "z ⊙ (A @ x)"


def without_source(body: str) -> Any:
    """A program whose source cannot be found: operations' names stand in."""
    space: dict[str, Any] = {}
    exec(f"def program(xp, x):\n    {body}\n    return x\n", space)
    return space["program"]


@pytest.mark.parametrize(
    "body",
    [
        "for _ in range(3000): x = x * 1.0001",
        "for _ in range(200): x = x * x",  # written out in full it would have 2²⁰⁰ factors
        "for _ in range(200): x = xp.tanh(x + x)",
    ],
)
def test_long_chains_without_names_stay_short(body: str) -> None:
    trace = trace_of(without_source(body), x=0.5)
    notation = Notation(trace)  # one for all nodes, in the order of the graph
    assert max(len(notation.value(i).text) for i in range(len(trace.graph))) <= MAX_PART
    for position in (0, 1, 100, len(trace.steps) // 2, len(trace.steps) - 1):
        explanation = explain(trace, trace.steps[position])
        for line in explanation.lines:
            assert len(line.text) < 6 * MAX_PART + 100


def test_without_source_the_formula_is_still_the_operation() -> None:
    trace = trace_of(without_source("x = xp.tanh(x)"), x=0.5)
    last = explain(trace, trace.steps[len(trace.steps) - 1])
    assert " · (1 − " in last.formula


def test_several_operands_are_listed() -> None:
    def program(xp: Any, a: Any, b: Any) -> Any:
        c = xp.cat([a, b])
        y = xp.sum(c)
        return y

    trace = trace_of(program, a=[1.0], b=[2.0, 3.0])
    computed = step(trace, "compute:c")
    assert computed.formula == "c = cat([a, b])"
    assert computed.numbers == "= [1 2 3]"
    assert step(trace, "send:c>b:1").numbers.endswith("= [1 1]")


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (2, "2"),
        (slice(1, 3), "1:3"),
        (slice(None), ":"),
        (slice(0, None, 2), "0::2"),
        ((0, slice(2)), "0, :2"),
        ([0, 2], "[0, 2]"),
        (None, "None"),
        ((Ellipsis, 1), "…, 1"),
    ],
)
def test_an_index_is_written_as_in_code(index: Any, text: str) -> None:
    assert index_text(index) == text


# ── what is not finite ────────────────────────────────────────────────────────────────────────


def log_of(xp: Any, x: Any) -> Any:
    z = xp.log(x)
    y = z * 2.0
    return y


def root_of(xp: Any, x: Any) -> Any:
    z = xp.sqrt(x)
    y = z * 2.0
    return y


def test_nan_and_infinity_are_told_at_their_step() -> None:
    assert kind(step(trace_of(log_of, x=-1.0), "compute:z"), "state") == [
        "This value is not a number (nan)."
    ]
    assert kind(step(trace_of(log_of, x=0.0), "compute:z"), "state") == ["This value is infinite."]
    sent = step(trace_of(root_of, x=0.0), "send:z>x:0")
    assert kind(sent, "state") == ["This gradient is infinite."]
    some = trace_of(lambda xp, x: xp.log(x), x=[1.0, 0.0, 2.0])
    assert kind(explain(some, some.steps[0]), "state") == [
        "1 of the 3 cells of this value is infinite."
    ]
    some = trace_of(lambda xp, x: xp.log(x), x=[-1.0, 0.0, -2.0])
    assert kind(explain(some, some.steps[0]), "state") == [
        "2 of the 3 cells of this value are not a number (nan)."
    ]


def test_the_first_that_is_not_finite_is_named() -> None:
    line = log_of.__code__.co_firstlineno + 1
    told = first_not_finite(trace_of(log_of, x=-1.0))
    assert told == f"the first nan appears in the value of z at line {line}"
    told = first_not_finite(trace_of(log_of, x=0.0))
    assert told == f"the first infinity appears in the value of z at line {line}"
    assert first_not_finite(trace_of(log_of, x=math.nan)) == (
        "the first nan appears in the value of x"
    )
    assert first_not_finite(trace_of(root_of, x=0.0)) == (
        "the values are finite; the first infinity in the backward pass: z sends to x"
    )
    assert first_not_finite(trace_of(root_of, x=4.0)) is None


def hiding(xp: Any, x: Any) -> Any:
    masked = xp.masked_fill(x, xp.tensor([False, True, False]), float("-inf"))
    shifted = masked - xp.amax(masked)
    return xp.sum(xp.exp(shifted))


def test_what_is_hidden_on_purpose_is_no_trouble() -> None:
    assert first_not_finite(trace_of(hiding, x=[1.0, 2.0, 0.5])) is None
    told = first_not_finite(trace_of(hiding, x=[math.nan, 2.0, 0.5]))
    assert told == "the first nan appears in the value of x"
    told = first_not_finite(trace_of(hiding, x=[math.inf, 2.0, 0.5]))
    assert told == "the first infinity appears in the value of x"

    def nothing_of_hidden(xp: Any, x: Any) -> Any:
        masked = xp.masked_fill(x, xp.tensor([False, True]), float("-inf"))
        z = masked * 0.0
        return xp.sum(z)

    told = first_not_finite(trace_of(nothing_of_hidden, x=[1.0, 2.0]))
    assert told is not None and told.startswith("the first nan appears in the value of z")


@pytest.mark.parametrize("number", [0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, 5e-324])
@pytest.mark.parametrize(("lesson_id", "sizes"), EVERY)
def test_whatever_is_typed_can_be_explained(
    lesson_id: str, sizes: dict[str, int], number: float
) -> None:
    session = session_of(lesson_id, **sizes)
    for name, value in session.inputs.leaves.items():
        full = number if isinstance(value, float) else np.full_like(value, number)
        session.set_leaf(name, full)
    for made in session.trace.steps:
        assert explain(session.trace, made, session.lesson.notes).lines
    first_not_finite(session.trace)


# ── the lesson's own words ────────────────────────────────────────────────────────────────────


def test_a_note_stands_where_the_gradient_arrives() -> None:
    session = session_of("linear")
    notes = session.lesson.notes
    assert kind(explained(session, "send:p>w:0"), "notice") == [notes["w"]]
    assert kind(explained(session, "send:z>p:0"), "notice") == [notes["p"]]
    assert kind(explained(session, "compute:p"), "notice") == []


@pytest.mark.parametrize("lesson_id", [lesson.id for lesson in catalogue()])
def test_every_note_is_shown_somewhere(lesson_id: str) -> None:
    session = session_of(lesson_id)
    told = {
        line.text
        for made in session.trace.steps
        for line in explain(session.trace, made, session.lesson.notes).lines
        if line.kind == "notice"
    }
    assert told == set(session.lesson.notes.values())


# ── claims of the lessons, tested as numbers ──────────────────────────────────────────────────


def end_of(lesson_id: str, leaves: Any = None, **sizes: int) -> dict[str, Any]:
    """All gradients by id."""
    trace = session_of(lesson_id, leaves, **sizes).trace
    return {n.id: g for n, g in zip(trace.graph.names, trace.gradients, strict=True)}


def test_what_matrix_linear_says_of_its_sums() -> None:
    session = session_of("matrix-linear")
    X, W = (np.asarray(session.inputs.leaves[n]) for n in ("X", "W"))
    found = end_of("matrix-linear")
    for i in range(2):  # row i of dW: the sum of column i of X, in every cell
        np.testing.assert_allclose(found["W"][i], np.full(3, X[:, i].sum()))
    for row in found["X"]:  # each row of dX: the row sums of W
        np.testing.assert_allclose(row, W.sum(axis=1))
    np.testing.assert_allclose(found["B"], [[5.0, 5.0, 5.0]])


def test_what_recursion_says_of_exploding_and_vanishing() -> None:
    assert end_of("recursion", {"w_h": 2.0}, T=30)["h0"] == 2.0**30
    assert end_of("recursion", {"w_h": 2.0}, T=30)["w_h"] == 30 * 2.0**29 * 0.5
    assert end_of("recursion", {"w_h": 0.5}, T=30)["w_h"] == 30 * 0.5**29 * 0.5


def test_what_rnn_says_of_its_biases_and_of_rows_that_are_not_read() -> None:
    session = session_of("rnn")
    found = end_of("rnn")
    np.testing.assert_allclose(found["b_x"], found["b_h"])
    differences = [
        session.trace.graph[session.trace.graph.index_of[f"diff[t={t}]"]].value for t in (1, 2)
    ]
    np.testing.assert_allclose(found["b_y"], -2 * sum(differences))
    np.testing.assert_allclose(found["diff[t=1]"], 2 * differences[0])
    np.testing.assert_allclose(found["y_hat[t=1]"], -2 * differences[0])
    assert found["x"][2, 0] == 0.0


def test_along_which_axis_an_operation_works() -> None:
    def program(xp: Any, a: Any) -> Any:
        s = xp.sum(a, dim=1, keepdim=True)
        m = xp.mean(a, dim=(0, -1))
        p = xp.softmax(a, -1)
        q = xp.sum(p)
        r = xp.sum(a[0], dim=0)
        y = q + m * xp.sum(s) + r
        return y

    trace = trace_of(program, a=[[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]])
    whys = {
        key: next(line.text for line in step(trace, f"compute:{key}").lines if line.kind == "why")
        for key in ("s", "m", "p", "q", "r")
    }
    assert whys["s"].endswith("Over axis 1: 2×3 becomes 2×1.")
    assert whys["m"].endswith("Over axes 0, 1: 2×3 becomes one number.")
    assert whys["p"].endswith("Along axis 1 of 2×3, each line of cells by itself.")
    assert whys["q"] == "Cells are added up."
    assert whys["r"].endswith("Over axis 0: 3 becomes one number.")


def test_an_axis_of_length_one_is_not_called_a_repetition() -> None:
    def program(xp: Any, a: Any, b: Any) -> Any:
        y = a + b
        return xp.sum(y * y)

    trace = trace_of(program, a=[[1.0, 2.0, 4.0]], b=[0.5, -1.0, 3.0])
    assert kind(step(trace, "send:y>b:1"), "why")[1] == (
        "b was given axis 0 to fit (broadcast), of length 1; what comes back is added up there, "
        "a sum of one term: 1×3 becomes 3."
    )


def test_what_a_new_axis_a_norm_and_a_window_say_of_themselves() -> None:
    def program(xp: Any, a: Any, w: Any) -> Any:
        u = a.unsqueeze(-1)
        n = xp.nn.functional.layer_norm(a, (3,))
        b = xp.nn.functional.layer_norm(u, (3, 1))
        c = xp.nn.functional.conv1d(a, w, stride=2, padding=1)
        d = xp.nn.functional.conv1d(a, w)
        p = xp.nn.functional.max_pool1d(a, 2, 1, 1)
        return xp.sum(n) + xp.sum(b) + xp.sum(c) + xp.sum(d) + xp.sum(p)

    kernel = [[[0.5, -1.0], [2.0, 1.5]]]
    trace = trace_of(program, a=[[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]], w=kernel)
    whys = {
        key: next(line.text for line in step(trace, f"compute:{key}").lines if line.kind == "why")
        for key in ("u", "n", "b", "c", "d", "p")
    }
    assert whys["u"].endswith("the cells stay as they are. 2×3 becomes 2×3×1.")
    assert whys["n"].endswith("Along axis 1 of 2×3, each line of cells by itself.")
    assert whys["b"].endswith("Along axes 1, 2 of 2×3×1, each group of cells by itself.")
    assert whys["c"].endswith("With stride 2, padding 1.")
    assert whys["d"].endswith("multiplied with it and added up.")
    assert whys["p"].endswith("With padding 1.")
