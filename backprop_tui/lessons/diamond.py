"""b = a + a, c = b + b: why a gradient may be passed on only once all of it has arrived."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, a: Any) -> Any:
    b = a + a
    c = b + b
    return c


LESSON = Lesson(
    id="diamond",
    title="The diamond, and why order matters",
    chapter="Sharing and order",
    order=210,
    idea=(
        "b is used twice, so it receives two contributions. Only their sum is the gradient of b, "
        "and only that may be sent on to a. So there is an order: first c, which waits for "
        "nothing, then b, which waits for its two uses in c, and last a, which waits for its two "
        "uses in b. Such an order, in which each node comes after everything that uses it, is "
        "called a reverse topological order. It need not be searched for: the program computed "
        "a, b, c in an order that worked, and the backward pass reads that list from its end."
    ),
    program=program,
    leaves=(Leaf("a", 1.0, "the only input, used twice"),),
    forward=(
        Equation("b", "a + a"),
        Equation("c", "b + b"),
        Equation("c", "4 * a", "there are 2 · 2 ways from a to c, each with slope 1"),
    ),
    derivation=(
        Equation("dc", "1", "first: nothing uses c, so nothing has to be waited for"),
        Equation("db", "dc + dc", "second: both contributions of c, then b is complete"),
        Equation("da", "db + db", "third, and only now: both contributions of b"),
        Equation("da", "4", "for each way from a to c a 1"),
    ),
    after=("two-uses",),
    minutes=5,
    notes={
        "a": "Third and last. It waits for both contributions of b, and each of them is the "
        "complete gradient of b.",
        "b": "Second. After one contribution its gradient looks finished and is not: it must wait "
        "for the other one before it may send anything.",
        "c": "First. Nothing uses it, so it is complete from the start.",
    },
    mistake=(
        "Walking back by recursion: a node hands each operand its contribution, and then calls "
        "itself for each operand, once a use. b is called twice, and both times it sends its whole "
        "gradient 2 to a, twice: a ends with 8 in place of 4. If each operand is called at once, "
        "after its first contribution already, b sends first 1 and then 2, and a ends with 6. "
        "The mistake shows only where something is used more than once and has something "
        "before it: b itself is right in both versions, and a chain without sharing never shows it."
    ),
    questions=(
        Question(
            "b has received 1 from c. Why may it not yet send anything to a?",
            "Its gradient is not complete: c uses b twice, and the second contribution is still to "
            "come. What it sends is its gradient times a slope, so it has to know all of it.",
        ),
        Question(
            "How does one find an order in which every node is complete before it sends?",
            "Read the list of operations in the opposite of the order in which they were computed. "
            "A node is computed before all its uses, so backwards it comes after all of them.",
        ),
        Question(
            "A recursion that hands on each contribution by itself, along every path, gives 4 too. "
            "Why is it not used?",
            "It adds up the same sum, but it walks every path separately. Each further doubling "
            "makes them twice as many: after 30 of them there are over a billion paths, but 31 "
            "nodes.",
        ),
        Question(
            "Why does the same recursion give the right answer for w·x + b?",
            "There every node is used only once. It is complete after its only contribution, so "
            "sending at once does no harm.",
        ),
    ),
    references=(
        "A. Karpathy, Neural Networks: Zero to Hero, lecture 1 (micrograd): gradients that are "
        "used twice must be accumulated (b = a + a at a = 3 gives 2), and the topological order",
        "a = 1, b = a + a, c = b + b: the gradient is 4, and the naive recursion gives 8",
    ),
)
