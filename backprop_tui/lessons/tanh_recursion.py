"""h ← tanh(w_h · h), T times, and an output: the smallest recurrent network."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, h0: Any, w_h: Any, w_y: Any, *, T: int) -> Any:
    h = h0
    for t in range(1, T + 1):
        z = w_h * h
        h = xp.tanh(z)
    y = w_y * h
    return y


LESSON = Lesson(
    id="tanh-recursion",
    title="A recursion with tanh",
    chapter="Recurrence",
    order=720,
    after=("recursion",),
    minutes=8,
    idea=(
        "A non-linearity between the steps keeps the state between −1 and 1, and it changes what "
        "comes back. Passing tanh, the gradient is multiplied by 1 − h², where h is what tanh put "
        "out. That factor is never above 1, and near 0 where tanh is flat. So tanh can only shrink "
        "the gradient, while each step also multiplies it by w_h. Which of the two wins? Near 0, "
        "where tanh is steep, a weight of 2 does. But such a weight drives the states away from 0, "
        "until they settle at 0.9575, where a step back multiplies by 2 · (1 − 0.9575²) = 0.17: "
        "the gradient of h₀ grows no further and vanishes. Try T = 10, and then h₀ = 0, the one "
        "place from where it explodes. The notebook has h_raw², the input of tanh, in two "
        "comments: the formula is 1 − h²."
    ),
    program=program,
    leaves=(
        Leaf("h0", 0.5, "the state at the beginning"),
        Leaf("w_h", 2.0, "the recurrent weight, the same at every step"),
        Leaf("w_y", 40.0, "the weight of the output"),
    ),
    sizes=(Size("T", 2, 1, 50, "time steps"),),
    forward=(
        Equation("z[t]", "w_h * h[t-1]", steps=(1, "T")),
        Equation("h[t]", "tanh(z[t])", steps=(1, "T")),
        Equation("y", "w_y * h[T]"),
    ),
    derivation=(
        Equation("dy", "1"),
        Equation("dw_y", "h[T] * dy"),
        Equation("dh[T]", "w_y * dy"),
        Equation(
            "dz[t]",
            "(1 - h[t]**2) * dh[t]",
            "the output of tanh, squared",
            steps=(1, "T"),
        ),
        Equation("dh[t]", "w_h * dz[t+1]", steps=(1, "T-1")),
        Equation(
            "dw_h",
            "sum(h[t-1] * dz[t] for t in steps(1, T))",
            "one term for each use of the weight",
        ),
        Equation("dh0", "w_h * dz[1]"),
    ),
    notes={
        "w_h": "Used once at every step, so every step adds a term: "
        "the state before it times what came back to it.",
        "w_y": "Used once, at the end: its gradient is the last state.",
        "z": "Passing tanh, the gradient is multiplied by 1 − h², with the output h of tanh, "
        "not its input. Close to ±1 almost nothing passes.",
        "h": "The last state hears only from the output; an earlier one hears from the step "
        "after it, through w_h.",
        "h0": "Each step on the way multiplied its gradient by w_h and by 1 − h², "
        "which is at most 1.",
        "y": (
            "The backward pass starts here with 1: the last state receives w_y, and w_y the last "
            "state."
        ),
    },
    mistake=(
        "Putting the input of tanh where its output belongs: 1 − z² for 1 − h². Near 0 the two "
        "are almost equal, so it hides there; at z = 1.52 it gives −1.32, and a negative slope "
        "cannot be right for a function that only rises."
    ),
    questions=(
        Question(
            "What must be kept of tanh's forward pass for its backward pass?",
            "Only its output h: the slope is 1 − h², so the input is not needed any more.",
        ),
        Question(
            "A state h is 0.99. Which part of its gradient passes tanh?",
            ("1 − 0.99² = 0.0199, about 2 %: where tanh is flat, hardly anything comes through."),
        ),
        Question(
            "w_h is 2. When does a step back shrink the gradient all the same?",
            (
                "From h[t] to h[t−1] it is multiplied by w_h·(1 − h[t]²). With w_h = 2 that is "
                "below 1 as soon as h[t]² is above one half."
            ),
        ),
        Question(
            "How is 8.1888, the gradient of w_h at T = 2, put together?",
            "One term for each use: h₁·dz₂ + h₀·dz₁ = 0.76159·6.9305 + 0.5·5.8212.",
        ),
        Question(
            "Why does w_y receive only one contribution?",
            "It is used once, after the last step; its gradient is the last state.",
        ),
    ),
    plot=Plot("activation", "h"),
    references=(
        "The notebook, In [8]: dw_h 8.18880672682621 and dw_y 0.9092516899108887 "
        "(its tanh in float32; in float64, as here, 8.18880816… and 0.90925167…)",
    ),
)
