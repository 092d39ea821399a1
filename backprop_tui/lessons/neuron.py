"""activation = max(0, w·x + b): the gradient of a neuron is either 0 or its input."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, w: Any, x: Any, b: Any, *, n: int) -> Any:
    u = w * x
    wx = xp.sum(u)
    z = wx + b
    activation = xp.relu(z)
    return activation


LESSON = Lesson(
    id="neuron",
    title="A neuron: the gradient is 0 or x",
    chapter="Matrix calculus",
    order=540,
    idea=(
        "A neuron multiplies each input by its weight, adds everything up with a bias, and cuts "
        "off what is below 0. Its gradient is simpler than the neuron: if the sum z is above 0, "
        "the gradient of the weights is the input x itself and that of the bias is 1. If z is "
        "below 0 the neuron is silent, and all these gradients are 0: no small change of "
        "any weight would make itself heard. At exactly 0 there is a kink, and by convention the "
        "gradient is 0 there too."
    ),
    program=program,
    leaves=(
        Leaf("w", [0.5, -1.2, 0.8], "the weights", ("n",)),
        Leaf("x", [2.0, 0.7, 1.5], "the inputs", ("n",)),
        Leaf("b", 0.3, "the bias"),
    ),
    sizes=(Size("n", 3, 1, 8, "inputs"),),
    forward=(
        Equation("u", "w * x", "cell by cell"),
        Equation("wx", "sum(u)", "the dot product of w and x"),
        Equation("z", "wx + b"),
        Equation("activation", "maximum(0, z)"),
        Equation("activation", "maximum(0, w @ x + b)", "all in one"),
    ),
    derivation=(
        Equation("dz", "(z > 0) * dactivation", "1 or 0: the gate is open or shut"),
        Equation("dwx", "dz"),
        Equation("db", "dz"),
        Equation("dw", "x * dwx", "every product is added up once: slope 1, times the input"),
        Equation("dx", "w * dwx"),
        Equation("dw", "(z > 0) * x", "0 or x"),
        Equation("dx", "(z > 0) * w", "0 or w"),
        Equation("db", "(z > 0) * 1", "0 or 1"),
    ),
    after=("vector-chain-rule",),
    minutes=6,
    notes={
        "w": "x if the neuron is active, and zeros if not. A large input gives "
        "its weight a large gradient.",
        "x": "w if the neuron is active, and zeros if not: this is what an earlier layer is told.",
        "b": "1 if the neuron is active, and 0 if not.",
        "u": "The products cell by cell. Each of them counts once in the sum, so each receives the "
        "same: a copy of what the sum received.",
        "wx": "The dot product. The bias is added to it, so both receive what z received.",
        "z": "The sign of z decides everything: above 0 the gradient passes whole, "
        "otherwise none of it.",
        "activation": "Never below 0. Where it is 0 because z is negative, "
        "nothing comes back through it.",
    },
    mistake=(
        "Deciding by the wrong sign: the gradient passes where z is positive, not where the weight "
        "or the upstream gradient is. It shows as a gradient in a silent neuron, which must have "
        "none, or as none in an active one. A neuron that is silent for all samples learns nothing "
        "from any of them; it is called dead."
    ),
    questions=(
        Question(
            "The neuron is active. What is the gradient of its weights, and why not the weights?",
            "The input x: in each product wᵢ·xᵢ the slope in the weight is the other factor. The "
            "weights are the gradient of the input.",
        ),
        Question(
            "z is −0.2. By how much does the activation change if a weight grows by a little?",
            "Not at all: z stays below 0 and the activation stays 0. So the gradient is 0.",
        ),
        Question(
            "What is the gradient at exactly z = 0?",
            "There is a kink and no single slope. By convention 0 is taken; torch's relu and the "
            "paper do the same.",
        ),
        Question(
            "Why do all cells of u receive the same gradient?",
            "They are added up, and the slope of a sum is 1 in each of its terms. The cells "
            "of the gradient of w differ only because each is then multiplied by its own input.",
        ),
    ),
    plot=Plot("activation", "activation"),
    references=(
        "T. Parr and J. Howard, The Matrix Calculus You Need For Deep Learning "
        "(arXiv 1802.01528), the gradient of neuron activation: 0 or x for the weights, 0 or 1 for "
        "the bias; the numbers are ours",
    ),
)
