"""f = 2·(x·y + max(z, w)): what each kind of gate does with the gradient that it receives."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, x: Any, y: Any, z: Any, w: Any) -> Any:
    p = x * y
    m = xp.maximum(z, w)
    s = p + m
    f = 2 * s
    return f


LESSON = Lesson(
    id="gates",
    title="Add distributes, max routes, multiply swaps",
    chapter="Circuits",
    order=120,
    idea=(
        "Three gates, three habits. An add gate distributes: every input receives the whole "
        "gradient of its output, unchanged. A max gate routes: the larger input receives all of "
        "it, the other one nothing. A multiply gate swaps: each input receives the gradient times "
        "the value of the other input. With these three habits in mind you can read a "
        "gradient off a circuit almost without calculating."
    ),
    program=program,
    leaves=(
        Leaf("x", 3.0, "the first factor"),
        Leaf("y", -4.0, "the second factor"),
        Leaf("z", 2.0, "the first input of the maximum"),
        Leaf("w", -1.0, "the second input of the maximum"),
    ),
    forward=(
        Equation("p", "x * y"),
        Equation("m", "maximum(z, w)"),
        Equation("s", "p + m"),
        Equation("f", "2 * s"),
    ),
    derivation=(
        Equation("df", "1"),
        Equation("ds", "2 * df", "multiplied by the constant"),
        Equation("dp", "ds", "add distributes"),
        Equation("dm", "ds", "add distributes"),
        Equation("dx", "y * dp", "multiply swaps: the value of the other factor"),
        Equation("dy", "x * dp", "multiply swaps"),
        Equation("dz", "(z > w) * dm + (z == w) * dm / 2", "max routes; a tie is shared"),
        Equation("dw", "(w > z) * dm + (z == w) * dm / 2", "max routes"),
    ),
    after=("circuit",),
    minutes=6,
    notes={
        "x": "Multiply swaps: this gradient is 2·y, and the value of x itself is not in it.",
        "y": "Multiply swaps: this gradient is 2·x, however large y itself is.",
        "z": "As long as z is the larger one, moving it moves the maximum just as much, "
        "and it receives all that m received; as the smaller one it receives 0.",
        "w": "As long as w is the smaller one its gradient is exactly 0: "
        "a small change of it changes nothing at all.",
        "p": "Add distributes: it receives the same as m, whatever the two values are.",
        "m": "Add distributes: it receives the same as p. "
        "It passes all of it on to the larger of z and w.",
        "s": "A constant factor is a multiply gate too: it doubles whatever comes back.",
        "f": "Twice the sum, so s receives 2, and with it everything before it is scaled by 2.",
    },
    mistake=(
        "Giving both inputs of a maximum the gradient, as if it were a sum, or half of it to each. "
        "It shows as a gradient at the input that lost: w gets 2 or 1 where 0 is right, and a "
        "finite difference says so, since moving w a little does not move f. Only at an exact "
        "tie, where the maximum has a kink, does torch give half to each."
    ),
    questions=(
        Question(
            "Why is the gradient of w exactly 0 and not merely small?",
            "Because max(z, w) is z as long as w stays below z. A small change of w does not "
            "change the maximum, so nothing behind it changes.",
        ),
        Question(
            "In a product one factor is tiny and the other is huge. Which gets the large gradient?",
            "The tiny one, since its gradient is the upstream gradient times the huge one. In w·x "
            "an input a thousand times larger gives its weight a gradient a thousand times larger "
            "for the same upstream gradient: this is why the scale of the data matters.",
        ),
        Question(
            "z is lowered from 2 to −3, below w. Which gradients change?",
            "Those of z and w: now w is the larger one and receives 2, and z receives 0. Those of "
            "x and y stay, since they depend on y and x only.",
        ),
        Question(
            "What would an add gate with ten inputs send to each of them?",
            "To each the whole gradient of its output. Nothing is divided among them, because each "
            "input moves the sum one to one.",
        ),
    ),
    references=(
        "CS231n, 'Backpropagation, Intuitions', patterns in backward flow: 2(xy + max(z, w)) at "
        "3, −4, 2, −1 gives −20 and the gradients −8, 6, 2, 0",
    ),
)
