"""h ← w_h · h, T times: one weight, used again and again."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, h0: Any, w_h: Any, *, T: int) -> Any:
    h = h0
    for t in range(1, T + 1):
        h = w_h * h
    return h


LESSON = Lesson(
    id="recursion",
    title="A recursion",
    chapter="Recurrence",
    order=710,
    after=("linear",),
    minutes=5,
    idea=(
        "The same weight is used at every step: h grows from h₀ by the factor w_h, T times. "
        "Each use sends its own contribution back to the weight, and the gradient is the sum of "
        "them all. That sum is the heart of backpropagation through time. Make T larger and watch: "
        "with w_h = 2 the gradient explodes, with w_h = 0.5 it vanishes."
    ),
    program=program,
    leaves=(
        Leaf("h0", 0.5, "the state at the beginning"),
        Leaf("w_h", 2.0, "the weight, the same at every step"),
    ),
    sizes=(Size("T", 2, 1, 50, "time steps"),),
    forward=(
        Equation("h[t]", "w_h * h[t-1]", "the new state from the one before", steps=(1, "T")),
        Equation("h[T]", "w_h**T * h0", "unrolled"),
    ),
    derivation=(
        Equation("dh[T]", "1"),
        Equation(
            "dh[t]",
            "w_h * dh[t+1]",
            "each step back multiplies by w_h",
            steps=(1, "T-1"),
        ),
        Equation("dh0", "w_h**T", "the product of all T slopes"),
        Equation(
            "dw_h",
            "sum(dh[t] * h[t-1] for t in steps(1, T))",
            "one contribution for each use of the weight",
        ),
        Equation("dw_h", "T * w_h**(T-1) * h0", "the same in closed form"),
    ),
    notes={
        "w_h": "It was used at every step, so its gradient is a sum with one term for each.",
        "h0": "The slopes of all steps multiplied: w_h to the power of T. "
        "If w_h is larger than 1 in size that explodes, if smaller it vanishes.",
        "h": "The last state is the output and starts with 1; an earlier one receives "
        "what the step after it has, times w_h.",
    },
    mistake=(
        "Writing = where += belongs, so that each contribution to w_h replaces the one before it. "
        "All T contributions are equal here, so the gradient comes out too small by the factor T, "
        "and with T = 1 it does not show."
    ),
    questions=(
        Question(
            "Why does w_h get T contributions, and h0 only one?",
            (
                "w_h is used at every step and h0 only in the first. Each use of a value sends "
                "one contribution back to it."
            ),
        ),
        Question(
            "w_h is 0.5 and T is 10. How large is the gradient of h0?",
            "0.5 to the power of 10, about 0.00098: the beginning has almost no say any more.",
        ),
        Question(
            "Why are all contributions to w_h equal here?",
            (
                "That of step t is dh[t]·h[t−1]: w_h to the power of T − t, times w_h to the "
                "power of t − 1 and h0. Together that is w_h to the power of T − 1 times h0, "
                "whatever t is."
            ),
        ),
        Question(
            "For which w_h does the gradient of h0 neither vanish nor explode as T grows?",
            (
                "Only for 1 and −1: the powers of any other number go to 0 or grow beyond all "
                "bounds."
            ),
        ),
    ),
    plot=Plot("norms", "h"),
    references=(
        "The notebook, In [7]: dw_h 2.0 and dh0 4.0, by torch and by hand",
        "CS231n, Stanford: recurrent networks as unrolled computation graphs",
        "Werbos, 'Backpropagation Through Time: What It Does and How to Do It', Proceedings of the "
        "IEEE 78 (1990), for the method's name",
    ),
)
