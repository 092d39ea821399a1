"""Breaking lines: nothing wider than allowed, nothing lost, roles and references kept."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backprop_tui.tui.painted import Piece, Pieces
from backprop_tui.tui.wrapping import wrap

ROLES = st.sampled_from(["plain", "value", "gradient", "operator", "title cursor"])
REFS = st.sampled_from([None, "h[t=2]", "w_h"])
TEXTS = st.text(alphabet="ab₂∂·− ", min_size=0, max_size=30)
PIECES = st.lists(st.builds(Piece, TEXTS, ROLES, REFS), max_size=8).map(tuple)
WIDTHS = st.integers(1, 40)
INDENTS = st.integers(0, 50)


def text(line: Pieces) -> str:
    return "".join(piece.text for piece in line)


def texts(lines: list[Pieces]) -> list[str]:
    return [text(line) for line in lines]


def marked(lines: list[Pieces]) -> list[tuple[str, str, str | None]]:
    """Every character that is no blank, with its role and reference."""
    return [
        (character, piece.role, piece.ref)
        for line in lines
        for piece in line
        for character in piece.text
        if character != " "
    ]


@given(PIECES, WIDTHS, INDENTS)
def test_no_line_is_wider_than_allowed(pieces: Pieces, width: int, indent: int) -> None:
    assert all(len(line) <= width for line in texts(wrap(pieces, width, indent)))


@given(PIECES, WIDTHS, INDENTS)
def test_nothing_is_lost_but_blanks(pieces: Pieces, width: int, indent: int) -> None:
    assert marked(wrap(pieces, width, indent)) == marked([pieces])


@given(PIECES, st.integers(10, 40), INDENTS)
def test_words_that_fit_stay_whole(pieces: Pieces, width: int, indent: int) -> None:
    room = width - min(indent, width - 10)
    words = text(pieces).split()
    if all(len(word) <= room for word in words):
        assert [w for line in texts(wrap(pieces, width, indent)) for w in line.split()] == words


@given(PIECES, WIDTHS)
def test_what_fits_is_left_alone(pieces: Pieces, width: int) -> None:
    if len(text(pieces)) <= width:
        assert wrap(pieces, width, 3) == [pieces]


@given(PIECES, st.integers(10, 40), st.integers(0, 5))
def test_the_lines_after_the_first_are_indented(pieces: Pieces, width: int, indent: int) -> None:
    indent = min(indent, width - 10)
    for line in texts(wrap(pieces, width, indent))[1:]:
        assert line.startswith(" " * indent)


@given(PIECES, st.integers(10, 40))
def test_no_line_could_have_taken_the_next_word(pieces: Pieces, width: int) -> None:
    lines = texts(wrap(pieces, width))
    for line, after in itertools.pairwise(lines):
        first = after.split(" ")[0]
        if line.endswith(" ") or not first:
            assert len(line) + len(first) > width
        else:
            assert len(line) + len(first) + 1 > width


def test_a_sentence() -> None:
    pieces = (Piece("why  ", "muted"), Piece("A sum passes the gradient on unchanged."))
    assert texts(wrap(pieces, 20, 5)) == [
        "why  A sum passes ",
        "     the gradient on",
        "     unchanged.",
    ]


def test_a_word_made_of_pieces_is_not_broken_between_them() -> None:
    pieces = (Piece("as in "), Piece("∂y/∂h₂", "gradient", "h[t=2]"), Piece(", and on"))
    assert texts(wrap(pieces, 11)) == ["as in ", "∂y/∂h₂, and", "on"]


@pytest.mark.parametrize("first", [9, 10, 11, 20])
def test_a_long_word_of_several_pieces_is_cut_at_the_width(first: int) -> None:
    """The second piece used to stick out by one cell where the first ended at the edge."""
    lines = texts(wrap((Piece("a" * first), Piece("b" * 15)), 10))
    assert "".join(lines) == "a" * first + "b" * 15
    assert [len(line) for line in lines[:-1]] == [10] * (len(lines) - 1)


def test_an_empty_line_stays_one_line() -> None:
    assert wrap((), 10) == [()]
