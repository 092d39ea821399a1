"""Numbers and matrices: what is understood, what is refused in which words, how it is shown."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from backprop_tui.values import (
    MAX_NUMBERS,
    BadValue,
    Shape,
    Value,
    format_exact,
    format_matrix,
    format_number,
    format_shape,
    format_value,
    parse_number,
    parse_value,
    to_json,
)

# On a fresh checkout Hypothesis first builds its tables, which a busy machine takes seconds for.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)
ARRAYS = npst.arrays(np.float64, SHAPES, elements=FINITE)

# Pieces that the readers know, so that random text often gets past the first character.
PIECES = st.sampled_from(
    ["[", "]", "(", ")", ",", ";", "\t", "\n", " ", "1", "2.5", "-3e5", "1/3", "nan", "array(",
     "np.float64(", "tensor(", ", dtype=float64", ", a=(", "'", '"', "...", "W = ", "−", "٣"]
)  # fmt: skip


def refusal(text: str, *args: object, **options: object) -> str:
    with pytest.raises(BadValue) as caught:
        parse_value(text, *args, **options)  # type: ignore[arg-type]
    return str(caught.value)


def same(left: Value, right: Value) -> bool:
    """Whether two values are the same, bit by bit, kind and shape included."""
    if not isinstance(left, np.ndarray) or not isinstance(right, np.ndarray):
        return type(left) is type(right) is float and repr(left) == repr(right)
    return left.shape == right.shape and left.tobytes() == right.tobytes()


# ── parse_number ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2.5", 2.5),
        ("  -3\n", -3.0),
        ("+.5", 0.5),
        ("7.", 7.0),
        ("1e-3", 0.001),
        ("2E+2", 200.0),
        ("−4", -4.0),
        ("1e−4", 1e-4),
        ("1/3", 1 / 3),
        ("-1 / 4", -0.25),
        ("1e-999", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308),
    ],
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    assert parse_number(text) == number


def test_the_sign_of_zero_is_kept() -> None:
    assert repr(parse_number("-0")) == "-0.0"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no number here: type one, such as 2.5"),
        (" \n", "there is no number here: type one, such as 2.5"),
        ("abc", "“abc” is not a number"),
        ("0x10", "“0x10” is not a number"),
        ("1e", "“1e” is not a number"),
        (".", "“.” is not a number"),
        ("--1", "“--1” is not a number"),
        ("1/2/3", "“1/2/3” is not a number"),
        ("__import__('os')", "“__import__('os')” is not a number"),
        ("a\nb\x00", "“a b�” is not a number"),
        ("x" * 99, "“xxxxxxxxxxxxxxxxxxxxxxx…” is not a number"),
        ("５", "“５” has a digit that is not one of 0 to 9"),
        ("1٣", "“1٣” has a digit that is not one of 0 to 9"),
        ("x²", "“x²” has a digit that is not one of 0 to 9"),
        ("–2", "“–2” starts with a dash: type the minus sign -"),
        ("2,5", "“2,5” has a comma: write 2.5"),
        ("−2,5", "“−2,5” has a comma: write -2.5"),
        ("1,234", "“1,234” has a comma: write 1234 or 1.234"),
        ("1,234,567.8", "“1,234,567.8” has a comma: write 1234567.8"),
        ("1_000", "“1_000” has an underscore: write 1000"),
        ("1 2", "“1 2” is more than one number"),
        ("1e999", "1e999 is too large: the largest is about 1.8e308"),
        ("-1e999", "-1e999 is too large: the largest is about 1.8e308"),
        ("1e999/1e999", "1e999 is too large: the largest is about 1.8e308"),
        ("1e300/1e-300", "1e300/1e-300 is too large: the largest is about 1.8e308"),
        ("1/0", "1/0 divides by zero"),
        ("nan", "“nan” can not be used here: type a number such as 0.5 or 1e6"),
        ("-Inf", "“-Inf” can not be used here: type a number such as 0.5 or 1e6"),
    ],
)
def test_what_is_no_number_is_refused_in_words(text: str, sentence: str) -> None:
    with pytest.raises(BadValue) as caught:
        parse_number(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "Infinity"])
def test_non_finite_numbers_where_they_are_allowed(text: str) -> None:
    assert repr(parse_number(text, allow_nonfinite=True)) == repr(float(text))


def test_overflow_is_refused_even_where_infinity_is_allowed() -> None:
    with pytest.raises(BadValue):
        parse_number("1e999", allow_nonfinite=True)


# ── parse_value: forms ────────────────────────────────────────────────────────────────────────

MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    "text",
    [
        "[[1,2],[3,4]]",
        "[[1, 2], [3, 4],]",
        "[1,2],[3,4]",
        "[[1. 2.]\n [3. 4.]]",
        "array([[1., 2.],\n       [3., 4.]])",
        "np.array([[1, 2], [3, 4]], dtype=np.float32)",
        "W = torch.tensor([[1, 2], [3, 4]], dtype=float, requires_grad=True)",
        "tensor([[1., 2.],\n        [3., 4.]], dtype=torch.float64, requires_grad=True)",
        "tensor([[1., 2.], [3., 4.]], device='cuda:0', grad_fn=<AddBackward0>)",
        "Parameter containing:\ntensor([[1., 2.],\n        [3., 4.]], requires_grad=True)",
        "[array([1., 2.]), array([3., 4.])]",
        "[[np.float64(1.0), np.float64(2.0)], [np.float64(3.0), np.float64(4.0)]]",
        "[[1, 2], [6/2, 4]]",
        "1\t2\r\n3\t4\r\n",
        "1\t2\t\n3\t4\t",
        "\ufeff1,2\n3,4",
        "1, 2,\n3, 4,\n",
        "1;2\n\n3;4",
        '"1","2"\n"3","4"',
        "  1   2\n  3   4",
        "1 2\n3 8 / 2",
    ],
)
def test_a_matrix_in_every_form(text: str) -> None:
    assert same(parse_value(text), MATRIX)


@pytest.mark.parametrize(
    "text",
    ["2.5", "5/2", "w = 2.5", "tensor(2.5, grad_fn=<SumBackward0>)", "np.float64(2.5)", '"2.5"'],
)
def test_a_scalar_in_every_form(text: str) -> None:
    assert same(parse_value(text), 2.5)


@pytest.mark.parametrize("text", ["[1, 5, 6]", "[1. 5. 6.]", "1 5 6", "1,5,6", "1\t5\t6", "1;5;6"])
def test_a_vector_in_every_form(text: str) -> None:
    assert same(parse_value(text), np.array([1.0, 5.0, 6.0]))


def test_a_column_from_a_spreadsheet_is_a_column() -> None:
    assert same(parse_value("1\n5\n6\n"), np.array([[1.0], [5.0], [6.0]]))


def test_more_axes() -> None:
    assert same(parse_value("[[[1 2]]\n\n [[3 4]]]"), MATRIX.reshape(2, 1, 2))


def test_eight_levels_are_deep_enough() -> None:
    assert same(parse_value("[" * 8 + "1" + "]" * 8), np.ones((1,) * 8))


def test_arrays_can_not_be_changed() -> None:
    value = parse_value("[[1, 2]]")
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        value[0, 0] = 3
    with pytest.raises(ValueError, match="WRITEABLE"):
        value.setflags(write=True)


def test_non_finite_values_where_they_are_allowed() -> None:
    value = parse_value('[NaN, "inf", -inf]', allow_nonfinite=True)
    assert same(value, np.array([math.nan, math.inf, -math.inf]))


@patient
@given(ARRAYS)
def test_what_python_and_numpy_print_is_read_back(array: np.ndarray) -> None:
    with np.printoptions(floatmode="unique", threshold=10**6):
        assert same(parse_value(repr(array)), array)
        assert same(parse_value(str(array)), array)
    assert same(parse_value(str(array.tolist())), array)


# ── parse_value: shapes ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("2.5", ()),
        ("[2.5]", ()),
        ("2.5", (1, 1)),
        ("1 2 3", (3,)),
        ("1 2 3", (1, 3)),
        ("1 2 3", (3, 1)),
        ("1\n2\n3", (3,)),
        ("[[1, 2, 3]]", (3,)),
        ("[[1], [2]]", (1, 2)),
    ],
)
def test_axes_of_length_one_fit_themselves(text: str, shape: Shape) -> None:
    assert np.shape(parse_value(text, shape)) == shape


@pytest.mark.parametrize(
    ("text", "shape", "sentence"),
    [
        ("1 2 3 4 5\n6 7 8 9 10", (5, 2), "expected 5×2, got 2×5"),
        ("[1, 2, 3, 4]", (2, 2), "expected 2×2, got 4 numbers"),
        ("1 2", (3,), "expected 3 numbers, got 2 numbers"),
        ("2.5", (3,), "expected 3 numbers, got a single number"),
        ("[1, 2]", (), "expected a single number, got 2 numbers"),
        ("1 2", (), "“1 2” is more than one number"),
        ("2,5", (), "“2,5” has a comma: write 2.5"),
    ],
)
def test_another_shape_is_refused(text: str, shape: Shape, sentence: str) -> None:
    assert refusal(text, shape) == sentence


def test_another_shape_may_be_allowed() -> None:
    assert same(parse_value("1 2\n3 4", (3, 2), allow_other_shape=True), MATRIX)
    assert same(parse_value("1,2,3", (), allow_other_shape=True), np.array([1.0, 2.0, 3.0]))


def test_a_decimal_comma_is_a_slip_even_where_a_vector_is_allowed() -> None:
    assert refusal("2,5", (), allow_other_shape=True) == "“2,5” has a comma: write 2.5"


@pytest.mark.parametrize(("text", "shape"), [("[[1], [2]]", (2, 1)), ("1\n2", (2,))])
def test_where_shapes_are_free_brackets_mean_what_they_say(text: str, shape: Shape) -> None:
    assert np.shape(parse_value(text, (2,), allow_other_shape=True)) == shape


# ── parse_value: refusals ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no number here: type one, such as 2.5"),
        ("1 2\n3 4 5", "row 2 has 3 numbers, row 1 has 2"),
        ("1\t2\n3", "row 2 has 1 number, row 1 has 2"),
        ("[[1, 2], [3, 4], [5]]", "row 3 has 1 number, row 1 has 2"),
        ("[[[1], [2]], [[3]]]", "row 2 is 1×1, row 1 is 2×1"),
        ("[1, [2]]", "numbers and rows are mixed: put brackets around every row"),
        ("1 2\n3 x", "row 2, column 2: “x” is not a number"),
        ("1\t\t3", "row 1, column 2 is empty"),
        ("x,y\n1,2", "row 1, column 1: “x” is not a number"),
        ("2,5;3,1", "row 1, column 1: “2,5” has a comma: write 2.5"),
        ("[1, x]", "“x” is not a number"),
        ("[1, 1e999]", "1e999 is too large: the largest is about 1.8e308"),
        ("[1, NaN]", "“NaN” can not be used here: type a number such as 0.5 or 1e6"),
        ('["inf"]', "“inf” can not be used here: type a number such as 0.5 or 1e6"),
        ("[1, null]", "“null” is not a number"),
        ("[1, dtype=2]", "“dtype=2” is not a number"),
        ("[]", "there are brackets without a number in them"),
        ("[[], []]", "there are brackets without a number in them"),
        ("array()", "there are brackets without a number in them"),
        ("array(1, 2)", "several numbers need brackets: array([1, 2])"),
        ("(1, 2)", "“(” is not understood here: put rows in [ ]"),
        ("[1,, 2]", "a number is missing before a comma"),
        ("[, 1]", "a number is missing before a comma"),
        ("[[1, 2]", "a “]” is missing at the end"),
        ("tensor([1, 2]", "a “)” is missing at the end"),
        ("[1, 2]]", "a “]” closes nothing that was opened"),
        ("array([1, 2)]", "a “)” closes nothing that was opened"),
        ("[" * 9 + "1" + "]" * 9, "the brackets are nested more than 8 deep"),
        ("1\n" * 100_001, "row 100001, column 1: there are more than 100,000 numbers"),
        ("[" + "1," * 100_001 + "]", "there are more than 100,000 numbers"),
        ("1" * 1_000_001, "this is 1.1 MB; at most 1 MB can be pasted"),
    ],
)
def test_what_is_no_value_is_refused_in_words(text: str, sentence: str) -> None:
    assert refusal(text) == sentence


@pytest.mark.parametrize("text", ["[1 2 ... 9]", "[1, 2, …, 9]", "[[0. 1.]\n ...\n [8. 9.]]"])
def test_a_printout_with_numbers_left_out(text: str) -> None:
    sentence = "“...” stands for numbers left out: paste all of them, e.g. from x.tolist()"
    assert refusal(text) == sentence


def test_as_many_numbers_as_allowed() -> None:
    assert np.shape(parse_value("1 " * MAX_NUMBERS)) == (MAX_NUMBERS,)


def test_a_huge_paste_is_refused_at_once() -> None:
    text = "1.5 " * 2_500_000
    start = time.perf_counter()
    sentence = refusal(text)
    assert time.perf_counter() - start < 0.05
    assert sentence == "this is 10 MB; at most 1 MB can be pasted"


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "array(" * 160_000,
        "]" * 900_000,
        "," * 900_000,
        "\n" * 900_000,
        "1" * 900_000,
        "1" * 900_000 + "x",
        "1" + " " * 900_000 + "/x",
        "a" + " " * 900_000 + "=",
        "[1" + ",a=<" * 200_000,
        "[1" + ",a='" * 200_000,
        "[1," + '"' * 900_000,
        "1/" * 400_000,
    ],
    ids=lambda text: text[:5],
)
def test_hostile_text_takes_no_long_time(text: str) -> None:
    start = time.process_time()  # other programs on a busy machine don't count
    refusal(text)
    # Linear takes 0.3 s at most, quadratic takes minutes.
    assert time.process_time() - start < 10


@patient
@given(st.text() | st.lists(PIECES).map("".join), st.none() | SHAPES, st.booleans(), st.booleans())
@example("\ud800", None, False, False)
def test_any_text_is_a_value_or_a_bad_value(
    text: str, shape: Shape | None, other: bool, nonfinite: bool
) -> None:
    try:
        value = parse_value(text, shape, other, allow_nonfinite=nonfinite)
    except BadValue as bad:
        sentence = str(bad)
        assert "\n" not in sentence
        assert len(sentence) < 120
    else:
        assert isinstance(value, float) or (value.dtype == np.float64 and value.size)
        assert nonfinite or np.isfinite(value).all()
        assert shape is None or other or np.shape(value) == shape


# ── format_number, format_exact ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (40.0, "40"),
        (-2.5, "-2.5"),
        (8.18880672682621, "8.1888"),
        (0.1 + 0.2, "0.3"),
        (9.99996, "10"),
        (62.00001, "62"),
        (0.00012345678, "0.00012346"),
        (0.000012, "1.2e-5"),
        (1.2e-07, "1.2e-7"),
        (12345.6, "12346"),
        (12340.4, "12340"),
        (99999.7, "1e5"),
        (123456.7, "1.2346e5"),
        (123456.0, "123456"),
        (1e6, "1000000"),
        (1e7, "1e7"),
        (6.02e23, "6.02e23"),
        (-1.23456e-150, "-12346e-154"),
        (1.7976931348623157e308, "1.7976e308"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert format_number(number) == text


@pytest.mark.parametrize(("digits", "text"), [(1, "0.7"), (3, "0.667"), (8, "0.66666667")])
def test_as_many_digits_as_wanted(digits: int, text: str) -> None:
    assert format_number(2 / 3, digits) == text


@patient
@given(
    FINITE | st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6).map(lambda n: n / 10),
    st.integers(1, 17),
)
@example(1.7976931348623157e308, 1)
@example(-1.7976931348623157e308, 5)
@example(-2.2250738585072014e-308, 2)
@example(-0.00099999, 4)
def test_short_numbers_are_short_and_near(number: float, digits: int) -> None:
    text = format_number(number, digits)
    assert len(text) <= digits + 6
    assert "−" not in text
    assert math.isclose(parse_number(text), number, rel_tol=10.0 ** -(digits - 1), abs_tol=0)


@pytest.mark.parametrize(
    ("number", "text"),
    [(40.0, "40"), (0.1, "0.1"), (-0.0, "-0"), (1e22, "1e22"), (1.5e-7, "1.5e-7"),
     (0.1 + 0.2, "0.30000000000000004"), (math.nan, "nan"), (-math.inf, "-inf")],
)  # fmt: skip
def test_exact_numbers(number: float, text: str) -> None:
    assert format_exact(number) == text


@patient
@given(st.floats())
def test_exact_numbers_are_read_back_exactly(number: float) -> None:
    assert same(parse_number(format_exact(number), allow_nonfinite=True), number)
    assert len(format_exact(number)) <= len(repr(number))


# ── format_value, format_matrix, format_shape, to_json ────────────────────────────────────────

TALL = np.array([[1.1939, 0.1343], [0.4642, -2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (8.18880672682621, None, "8.1888"),
        (8.18880672682621, 5, "8.189"),
        (8.18880672682621, 1, "8"),
        (-12.5, 2, "…"),
        (np.array(2.5), None, "2.5"),
        (np.array([1.0, 5.0, 6.0]), None, "[1 5 6]"),
        (np.array([1.0, 5.0, 6.0]), 7, "[1 5 6]"),
        (np.array([1.0, 5.0, 6.0]), 6, "[1 …]"),
        (np.array([1.0, 5.0, 6.0]), 3, "[…]"),
        (np.array([1.1714, 0.163481, 0.99871]), None, "[1.1714 0.16348 0.99871]"),
        (np.array([1.1714, 0.163481, 0.99871]), 20, "[1.17 0.163 0.999]"),
        (np.arange(1000.0), None, "1000 [0 1 2 3 4 5 6 7 …]"),
        (MATRIX, None, "[[1 2] [3 4]]"),
        (MATRIX, 12, "2×2 [1 2 …]"),
        (TALL, None, "5×2 [1.19 0.134 0.464 …]"),
        (TALL, 14, "5×2 [1.19 …]"),
        (-TALL, 12, "5×2 [-1.2 …]"),
        (-TALL, 11, "5×2 [-1 …]"),
        (-TALL, 9, "5×2"),
        (np.array([-0.012345, 7.0]), 10, "[-0.012 …]"),
        (TALL, 8, "5×2"),
        (TALL, 2, "…"),
        (np.array([math.nan, math.inf]), None, "[nan inf]"),
        (np.array([]), None, "[]"),
    ],
)
def test_a_value_on_one_line(value: Value, width: int | None, text: str) -> None:
    assert format_value(value, width=width) == text


@patient
@given(ARRAYS | FINITE, st.integers(1, 40))
def test_a_value_never_overflows_its_box(value: Value, width: int) -> None:
    assert 1 <= len(format_value(value, width=width)) <= width


@pytest.mark.parametrize(
    ("value", "cells"),
    [
        (2.5, [["2.5"]]),
        (np.array([1.0, 2.25]), [["1", "2.25"]]),
        (
            np.array([[40, 8.18880672682621], [-0.25, 3.5], [10, -1]]),
            [["40   ", " 8.1888"], ["-0.25", " 3.5   "], ["10   ", "-1     "]],
        ),
        (
            np.array([[1e-9, math.nan], [2.5, 1.25], [-1.25, -math.inf]]),
            [[" 1e-9", " nan"], ["  2.5", "1.25"], ["-1.25", "-inf"]],
        ),
        (np.arange(4.0).reshape(2, 1, 2), [["0", "1"], ["2", "3"]]),
        (np.array([]), [[]]),
        (np.zeros((2, 0)), [[], []]),
    ],
)
def test_the_cells_of_a_matrix(value: Value, cells: list[list[str]]) -> None:
    assert format_matrix(value) == cells


@patient
@given(npst.arrays(np.float64, npst.array_shapes(min_dims=2, max_dims=2), elements=st.floats()))
def test_the_cells_of_a_column_are_equally_wide(matrix: np.ndarray) -> None:
    for column in zip(*format_matrix(matrix), strict=True):
        assert len({len(cell) for cell in column}) == 1


@pytest.mark.parametrize(
    ("shape", "text"), [((), "scalar"), ((3,), "3"), ((5, 2), "5×2"), ((2, 1, 3), "2×1×3")]
)
def test_shapes_in_words(shape: Shape, text: str) -> None:
    assert format_shape(shape) == text


def test_json_has_words_for_what_is_no_number() -> None:
    value = np.array([[math.nan, -0.0], [math.inf, -math.inf]])
    assert json.dumps(to_json(value), allow_nan=False) == '[["nan", -0.0], ["inf", "-inf"]]'


def test_json_of_scalars() -> None:
    assert [to_json(2.5), to_json(math.nan)] == [2.5, "nan"]


@patient
@given(npst.arrays(np.float64, SHAPES, elements=st.floats(allow_nan=False)) | st.floats())
def test_json_is_read_back_exactly(value: Value) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert same(parse_value(text, allow_nonfinite=True), value)
