"""f = (a·b)·(a + b): two variables, each used in two places."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, a: Any, b: Any) -> Any:
    d = a * b
    e = a + b
    f = d * e
    return f


LESSON = Lesson(
    id="two-uses",
    title="A variable used twice",
    chapter="Sharing and order",
    order=205,
    idea=(
        "a and b are each used in two places, in a product and in a sum. If a moves, f moves for "
        "two reasons: because the product changes, and because the sum does. So each use sends "
        "its own contribution, worked out as if the other one did not exist, and the gradient "
        "is what they add up to. This is why a gradient starts at 0 and is added to, never set."
    ),
    program=program,
    leaves=(
        Leaf("a", -2.0, "used in the product and in the sum"),
        Leaf("b", 3.0, "used in the product and in the sum"),
    ),
    forward=(
        Equation("d", "a * b"),
        Equation("e", "a + b"),
        Equation("f", "d * e"),
    ),
    derivation=(
        Equation("df", "1"),
        Equation("dd", "e * df"),
        Equation("de", "d * df"),
        Equation("da", "b * dd + de", "from the product, and from the sum"),
        Equation("db", "a * dd + de", "from the product, and from the sum"),
        Equation(
            "da", "2 * a * b + b**2", "the same, from a²·b + a·b² differentiated as in a textbook"
        ),
        Equation("db", "a**2 + 2 * a * b"),
    ),
    after=("gates",),
    minutes=5,
    notes={
        "a": "Two ways lead from a to f, and each brings back its share: "
        "b times what the product received, and all that the sum received.",
        "b": "Two ways lead from b to f, and each brings back its share: "
        "a times what the product received, and all that the sum received.",
        "d": "The product. Used once, so its gradient e is complete after one contribution.",
        "e": "The sum. Used once, so its gradient d is complete after one contribution.",
        "f": "The two ways from a, and the two from b, meet here.",
    },
    mistake=(
        "Setting a gradient in place of adding to it: whichever use comes last overwrites the "
        "other one. It was a bug in the first version of micrograd's lecture code, and it shows "
        "only where a variable is used twice: with the given numbers a keeps either −6 or 3, in "
        "place of −3."
    ),
    questions=(
        Question(
            "a = −2 and b = 3: which two numbers make up the gradient of a, and where are they "
            "from?",
            "3 from the product, which is b·e = 3·1, and −6 from the sum, which is d. Together −3.",
        ),
        Question(
            "Why are the contributions added, and not averaged or multiplied?",
            "For a small change of a the two effects on f happen side by side, and the change of f "
            "is their sum. That is the chain rule for a function of several variables.",
        ),
        Question(
            "What changes in the backward pass if a is used in ten places?",
            "It receives ten contributions and is complete only after the tenth. Each of them is "
            "worked out as before.",
        ),
    ),
    references=(
        "A. Karpathy, Neural Networks: Zero to Hero, lecture 1 (micrograd): a = −2, b = 3, "
        "d = a·b, e = a + b, f = d·e give f = −6 and the gradients −3 and −8",
    ),
)
