"""Torch's own values and gradients, under our nodes' names."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_checks import value, weighted
from operation_cases import IDS, NAMED
from random_graphs import random_program

import backprop_tui
from backprop_tui.engine.compare import Comparison, Verdict, compare
from backprop_tui.engine.graph import Edge
from backprop_tui.engine.operations.base import Contribution
from backprop_tui.engine.operations.products import MatrixMatrix
from backprop_tui.engine.rounding import gradient_rounding, value_rounding
from backprop_tui.engine.run import record
from backprop_tui.engine.trace import backward
from backprop_tui.lessons import catalogue, find_lesson
from backprop_tui.lessons.base import Lesson, default_leaves
from backprop_tui.reference.in_process import compare_lesson
from backprop_tui.reference.torch_run import TorchProgramError, run_torch


def beside(program: Any, sizes: dict[str, int] | None = None, **leaves: Any) -> Comparison:
    """A program by hand beside torch, edges too."""
    trace = backward(record(program, leaves, sizes))
    run = run_torch(program, leaves, sizes, edges=True)
    return compare(trace, run, numeric_expected=False)


def edges_of(found: Comparison) -> int:
    """How many edges carry a contribution by hand."""
    uses = found.trace.graph.uses
    return sum(found.trace.contribution(edge) is not None for edges in uses for edge in edges)


@pytest.mark.parametrize("lesson", catalogue(), ids=lambda lesson: lesson.id)
def test_each_lesson_agrees_at_every_node_and_edge(lesson: Lesson) -> None:
    sizes = lesson.default_sizes()
    three = compare_lesson(lesson, default_leaves(lesson, sizes), sizes)
    summary = three.comparison.summary()
    assert summary.all_agree
    assert three.torch_reason is None
    kinds = [node.op is not None or node.index in three.trace.graph.leaves.values()
             for node in three.trace.graph]  # fmt: skip
    assert summary.nodes == sum(kinds)
    assert summary.edges == edges_of(three.comparison)
    assert {leaf.verdict for leaf in three.comparison.leaves.values()} == {Verdict.AGREE}


@pytest.mark.parametrize("time_steps", [1, 7])
def test_other_sizes_agree_too(time_steps: int) -> None:
    lesson = find_lesson("rnn")
    sizes = {"T": time_steps, "hidden": 4}
    three = compare_lesson(lesson, default_leaves(lesson, sizes), sizes)
    assert three.comparison.summary().all_agree


def test_values_and_gradients_stand_under_the_nodes_names() -> None:
    def program(xp: Any, x: Any) -> Any:
        doubled = x * 2
        return doubled**2

    found = beside(program, x=3.0)
    index = found.trace.graph.index_of["doubled"]
    assert found.torch_value(index) == 6.0
    assert found.torch_gradient(index) == 12.0


def test_a_product_with_itself_has_two_edges() -> None:
    found = beside(lambda xp, x: x * x, x=3.0)
    edges = [found.edge(Edge(1, 0, slot)) for slot in (0, 1)]
    assert [edge and edge.torch for edge in edges] == [3.0, 3.0]
    assert found.leaves["x"].torch == 6.0


def test_a_power_of_itself_has_two_different_edges_in_order() -> None:
    found = beside(lambda xp, x: x**x, x=3.0)
    edges = [found.edge(Edge(1, 0, slot)) for slot in (0, 1)]
    assert [edge and edge.torch for edge in edges] == pytest.approx([27.0, 27.0 * np.log(3.0)])


def test_broadcast_contributions_arrive_summed() -> None:
    found = beside(lambda xp, w, b: xp.sum(w * b), w=np.arange(6.0).reshape(2, 3), b=np.ones(3))
    edge = found.edge(Edge(2, 1, 1))
    assert edge is not None
    np.testing.assert_array_equal(edge.torch, [3.0, 5.0, 7.0])
    assert edge.verdict is Verdict.AGREE


def test_a_call_of_several_autograd_nodes_gives_its_edges() -> None:
    found = beside(lambda xp, v, m: xp.sum(v @ m), v=np.ones(2), m=np.arange(6.0).reshape(2, 3))
    assert found.summary().edges == 3


OTHERS = {
    "reflected": lambda xp, x: (1 - x) + 2 / x + 3 * x + 2**x,
    "methods": lambda xp, x: x.exp().sum() * x.mean(),
    "rows": lambda xp, x: xp.sum(xp.stack([row * 2 for row in x])),
    "cat": lambda xp, x: xp.cat([x, x * 2, x[1:]]).sum(),
    "reshape": lambda xp, x: x.reshape(1, 3).squeeze(0).unsqueeze(1).sum(),
    "builtin": lambda xp, x: abs(-x).sum(),
    "maximum": lambda xp, x: xp.maximum(x, x * 0.5).sum(),
    "functions": lambda xp, x: (xp.sigmoid(x) + xp.relu(x) + xp.sqrt(x) + xp.log(x)).sum(),
    "waves": lambda xp, x: xp.sin(x) * xp.cos(x) * xp.tanh(x),
    "batches": lambda xp, x: (x.repeat(2, 2, 1) @ x.expand(2, 3).mT @ x[1:]).sum(),
    "linear": lambda xp, x: xp.nn.functional.linear(x.repeat(2, 1), x.repeat(3, 1), x).sum(),
    "a bias that is the input": lambda xp, x: xp.nn.functional.linear(x, xp.outer(x, x), x),
    "a layer with itself": lambda xp, x: xp.nn.functional.linear(x[None], x[None] * 2) * x,
    "convolution": lambda xp, x: xp.conv1d(x[None], x[None, None, :2], x[:1], padding=1).sum(),
    "outer": lambda xp, x: xp.outer(x, x) * xp.outer(x, x * 2),
    "image": lambda xp, x: xp.conv2d(xp.outer(x, x)[None], xp.outer(x[1:], x[:2])[None, None]),
    "pooling": lambda xp, x: xp.nn.functional.max_pool1d(x[None], 2, 1) * 3,
    "einsum": lambda xp, x: xp.einsum("i,j->ij", x, x * 2).permute(1, 0).flatten() * 2,
    "what the program makes": lambda xp, x: x * xp.ones(3) + xp.tril(xp.ones(3, 3)) @ x,
    "whole numbers": lambda xp, x: x[xp.tensor([2, 0, 0])] * xp.arange(3) + xp.full((3,), 0.5),
    "mask": lambda xp, x: x * (x > 1.0) + x * xp.tensor([True, False, True]),
    "pieces": lambda xp, x: sum(k * p.sum() for k, p in enumerate(x.split(2), 2)),
    "sections": lambda xp, x: xp.cat(xp.split(x * 1, [2, 1])[::-1]) * x,
    "one of several pieces": lambda xp, x: xp.chunk(x, 3)[1] * 2,
    "only one piece": lambda xp, x: x.chunk(1)[0] * 2,
    "numbers": lambda xp, x: x.unbind()[0] * xp.unbind(x)[2],
    "pieces of a part": lambda xp, x: xp.stack([p * p for p in (x * 2).flip(0).unbind()]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_programs_agree_at_every_node(name: str) -> None:
    found = beside(OTHERS[name], x=np.array([0.5, 1.5, 2.5]))
    summary = found.summary()
    assert summary.differing == ()
    assert summary.absent == 0
    assert summary.edges == edges_of(found)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_agree_at_every_node_and_edge(seed: int) -> None:
    program, leaves = random_program(np.random.default_rng(seed), 30)
    found = beside(program, **leaves)
    summary = found.summary()
    assert summary.differing == ()
    assert summary.absent == 0
    assert summary.edges == edges_of(found)


@pytest.mark.parametrize(("op", "name", "make"), NAMED, ids=IDS)
def test_every_operation_agrees_at_every_node_and_edge(op: Any, name: str, make: Any) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        program, leaves = weighted(*make(rng), rng)
        found = beside(program, **{leaf: value(given) for leaf, given in leaves.items()})
        summary = found.summary()
        assert summary.differing == ()
        assert summary.absent == 0
        if name != "flatten":  # where there is nothing to do it returns its operand: no edge
            assert summary.edges == edges_of(found)


@pytest.mark.parametrize(("op", "name", "make"), NAMED, ids=IDS)
def test_rounding_can_be_estimated_in_any_use(op: Any, name: str, make: Any) -> None:
    rng = np.random.default_rng(5)
    program, leaves = weighted(*make(rng), rng)

    def rounded(xp: Any, **inputs: Any) -> Any:  # so that each operand carries rounding
        return program(xp, **{leaf: given / 3.0 * 3.1 for leaf, given in inputs.items()})

    trace = backward(record(rounded, {leaf: value(given) for leaf, given in leaves.items()}))
    values = value_rounding(trace.graph)
    for error, node in zip(values, trace.graph, strict=True):
        assert np.shape(error) == np.shape(node.value)
        assert np.isfinite(error).all()
    for error, node in zip(gradient_rounding(trace, values), trace.graph, strict=True):
        assert np.shape(error) == np.shape(node.value)
        assert np.isfinite(error).all()


def test_rounding_can_be_estimated_for_every_operation() -> None:
    program, leaves = random_program(np.random.default_rng(7), 200)
    trace = backward(record(program, leaves))
    values = value_rounding(trace.graph)
    slopes = gradient_rounding(trace, values)
    for errors, known in ((values, [n.value for n in trace.graph]), (slopes, trace.gradients)):
        for error, here in zip(errors, known, strict=True):
            assert np.shape(error) == np.shape(0.0 if here is None else here) or here is None
            assert np.isfinite(error).all()


def test_several_results_of_a_call_bear_their_names() -> None:
    def program(xp: Any, x: Any) -> Any:
        total = 0
        for t in range(2):
            q, k = xp.split(x, [1, 2])
            total = total + (t + 2) * q * k.sum()
        return total

    found = beside(program, x=np.array([0.5, 1.5, 2.5]))
    graph = found.trace.graph
    assert found.summary().differing == ()
    assert found.summary().absent == 0
    assert found.summary().edges == edges_of(found)
    for name, cells, slopes in (
        ("q[t=0]", [0.5], [8.0]), ("k[t=0]", [1.5, 2.5], [1.0, 1.0]),
        ("q[t=1]", [0.5], [12.0]), ("k[t=1]", [1.5, 2.5], [1.5, 1.5]),
    ):  # fmt: skip
        index = graph.index_of[name]
        np.testing.assert_array_equal(found.torch_value(index), cells)
        np.testing.assert_array_equal(found.torch_gradient(index), slopes)
        edge = found.edge(Edge(index, 0, 0))
        expected = [*slopes, 0.0, 0.0] if name.startswith("q") else [0.0, *slopes]
        assert edge is not None
        np.testing.assert_array_equal(edge.torch, expected)


def test_results_that_are_no_floats_are_left_out() -> None:
    def program(xp: Any, x: Any) -> Any:
        x.sort()  # values and indices
        shape = x.shape
        return x * len(shape)

    run = run_torch(program, {"x": np.array([2.0, 1.0])}, edges=True)
    assert [tuple(run.structure.shapes[entry]) for entry in (1, 2)] == [(2,), (2,)]
    assert run.structure.keys[0] != run.structure.keys[1]
    np.testing.assert_array_equal(run.value(1), [1.0, 2.0])


def test_what_a_program_makes_itself_is_float64() -> None:
    run = run_torch(lambda xp, x: x * xp.tensor([0.1, 0.2]), {"x": 1.0})
    np.testing.assert_array_equal(run.value(len(run.structure.shapes) - 1), [0.1, 0.2])


def test_helpers_and_comprehensions_are_matched_by_their_callers() -> None:
    def layer(xp: Any, x: Any, w: Any) -> Any:
        z = x * w
        return xp.tanh(z)

    def program(xp: Any, x: Any, w: Any, *, T: int) -> Any:
        for _ in range(T):
            x = layer(xp, x, w)
        parts = [layer(xp, x, w) * k for k in range(1, 3)]
        return parts[0] + parts[1]

    found = beside(program, {"T": 3}, x=0.7, w=1.3)
    assert found.summary().all_agree
    assert found.summary().absent == 0


def test_changes_in_place_are_new_versions() -> None:
    def program(xp: Any, x: Any) -> Any:
        total = x * 2
        total += x * x
        total *= 3
        return total

    found = beside(program, x=3.0)
    graph = found.trace.graph
    assert [found.torch_value(i) for i in range(len(graph)) if graph.records[i].op] == [
        node.value for node in graph if node.op
    ]
    assert found.summary().all_agree


def test_unused_values_and_leaves_have_no_gradient() -> None:
    def program(xp: Any, x: Any, unused: Any) -> Any:
        aside = unused * 2  # noqa: F841
        return x * x

    found = beside(program, x=3.0, unused=np.ones(2))
    assert found.leaves["unused"].torch is None
    assert found.leaves["unused"].verdict is Verdict.AGREE
    assert found.summary().all_agree


def test_the_gradient_of_several_outputs_is_that_of_their_sum() -> None:
    found = beside(lambda xp, x: x * x, x=np.array([1.0, 2.0]))
    np.testing.assert_array_equal(found.leaves["x"].torch, [2.0, 4.0])


@pytest.mark.parametrize("x", [0.0, -1.0, np.inf, np.nan, 800.0])
def test_inf_and_nan_agree(x: float) -> None:
    found = beside(lambda xp, x: xp.log(x) + 1 / x + xp.exp(x), x=x)
    assert found.summary().differing == ()


def test_runs_do_not_add_up() -> None:
    runs = [run_torch(lambda xp, x: x * x, {"x": 3.0}).gradient(0) for _ in range(3)]
    assert runs == [6.0, 6.0, 6.0]


def test_leaves_are_not_changed_and_may_be_read_only() -> None:
    def program(xp: Any, x: Any) -> Any:
        y = x * 1
        y += 5
        return y

    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_torch(program, {"x": x})
    np.testing.assert_array_equal(x, [1.0, 2.0])


def test_float32_in_between_is_widened() -> None:
    def program(xp: Any, x: Any) -> Any:
        return x.to(torch.float32).double() * 2

    assert run_torch(program, {"x": 3.0}).gradient(0) == 2.0


def test_an_output_without_a_gradient_gives_none() -> None:
    run = run_torch(lambda xp, x: xp.ones(2, dtype=torch.float64), {"x": 3.0})
    assert not run.given.any()


def test_a_program_must_return_a_tensor() -> None:
    with pytest.raises(TorchProgramError, match="not float"):
        run_torch(lambda xp, x: 3.0, {"x": 1.0})


def test_torch_runs_the_lesson_not_our_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    lesson = find_lesson("matrix-linear")
    leaves = default_leaves(lesson, {})
    rules = MatrixMatrix.contributions
    wrong = Contribution(lambda g, out, a, b: rules[1].function(g, out, a, b) * 2, "", "")
    monkeypatch.setattr(MatrixMatrix, "contributions", (rules[0], wrong))
    three = compare_lesson(lesson, leaves, {})
    assert three.comparison.leaves["W"].torch_verdict is Verdict.DIFFER
    assert three.comparison.leaves["W"].numeric_verdict is Verdict.DIFFER
    assert three.comparison.leaves["X"].verdict is Verdict.AGREE
    assert set(three.comparison.summary().differing) == {"W", "Q>W"}


def test_only_two_modules_import_torch() -> None:
    package = Path(backprop_tui.__file__).parent
    importing = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(
            line.strip().startswith(("import torch", "from torch"))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert sorted(importing) == ["reference/torch_run.py", "reference/torch_script.py"]


@pytest.mark.parametrize("module", ["client", "protocol", "worker", "in_process"])
def test_the_others_load_neither_torch_nor_textual(module: str) -> None:
    code = (
        f"import backprop_tui.reference.{module}, sys; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'textual')))"
    )
    root = Path(backprop_tui.__file__).parents[1]
    assert subprocess.call([sys.executable, "-c", code], cwd=root, timeout=60) == 0
