"""Layer normalisation: each sample by itself, in small steps or one."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, x: Any, w: Any, b: Any, dout: Any, *, C: int) -> Any:
    out = xp.nn.functional.layer_norm(x, (C,), w, b, eps=1e-5)
    L = xp.sum(dout * out)
    return L


def layernorm_in_steps(xp: Any, x: Any, shape: Any, w: Any, b: Any, *, eps: float) -> Any:
    """The steps and names of llm.c's layernorm.py."""
    mean = xp.mean(x, -1, keepdim=True)
    xshift = x - mean
    sq = xshift**2
    var = xp.mean(sq, -1, keepdim=True)
    rstd = (var + eps) ** -0.5
    norm = xshift * rstd
    scaled = norm * w
    return scaled + b


LESSON = Lesson(
    id="layernorm",
    title="Layer normalisation",
    chapter="Normalisation",
    order=820,
    after=("batchnorm",),
    minutes=10,
    idea=(
        "The arithmetic of a batch normalisation, given a quarter turn: here each sample, a "
        "row of x, is moved to mean 0 and scaled to variance 1 over its own features. So no sample "
        "depends on another, a batch of one will do, and nothing has to be stored for evaluation. "
        "Then each feature gets a scale and a shift, w and b, which are shared by all samples. "
        "That makes for sums in two directions in the backward pass: statistics belong to a "
        "row and collect over its features, w and b belong to a column and collect over the "
        "samples. As in the lesson before, the output is weighted by dout and added up, so that "
        "dout arrives at out."
    ),
    program=program,
    opens={"out": layernorm_in_steps},
    opened=("out",),
    leaves=(
        Leaf(
            "x",
            [[0.5, 2.0, 4.5, -1.5], [31.0, 12.0, 20.0, 58.0]],
            "a row a sample, a column a feature",
            (2, "C"),
        ),
        Leaf("w", [1.5, -0.5, 0.8, 1.2], "the scale of each feature, learnt", ("C",)),
        Leaf("b", [0.1, -0.2, 0.3, 0.05], "the shift of each feature, learnt", ("C",)),
        Leaf(
            "dout",
            [[0.7, -0.4, 1.2, 0.5], [-0.6, 0.9, 0.3, -1.1]],
            "the upstream gradient: the weight of each output in L",
            (2, "C"),
        ),
    ),
    sizes=(Size("C", 4, 2, 8, "features (channels) of a sample"),),
    forward=(
        Equation("xshift", "x - columns(x) / C", "a row minus its mean"),
        Equation("sq", "xshift**2"),
        Equation("var", "columns(sq) / C", "one number a sample; divided by C, not C − 1"),
        Equation("rstd", "1 / sqrt(var + 0.00001)", "one over the standard deviation"),
        Equation("norm", "xshift * rstd"),
        Equation("out", "norm * w + b", "w and b are the same for all rows"),
        Equation("L", "sum(dout * out)"),
    ),
    derivation=(
        Equation("db", "add_rows(dout)", "over the samples: all of them use b"),
        Equation("dw", "add_rows(dout * norm)"),
        Equation("dnorm", "dout * w"),
        Equation("drstd", "columns(dnorm * xshift)", "over the features: one number a sample"),
        Equation("dvar", "-(rstd**3) * drstd / 2", "the slope of v to the power of −½"),
        Equation("dsq", "expand(dvar / C, sq)"),
        Equation("dxshift", "dnorm * rstd + 2 * xshift * dsq", "xshift is used twice"),
        Equation("dmean", "-columns(dxshift)"),
        Equation("dx", "dxshift + dmean / C", "x is used twice"),
        Equation(
            "dx",
            "rstd * (dnorm - columns(dnorm) / C - norm * columns(dnorm * norm) / C)",
            "all in one: minus the mean, minus the part along norm",
        ),
    ),
    notes={
        "x": "Each row of the gradient adds up to 0, and a row depends on nothing in the "
        "other rows. At first the numbers of the second row lie much farther apart than those of "
        "the first, so its gradient is much smaller.",
        "w": "Shared by all samples, so its gradient is a sum over the rows.",
        "b": "Shared by all samples: it receives the sum of dout over the rows.",
        "dout": "It plays the rest of the network: the gradient that arrives at out is dout. Its "
        "own gradient is out.",
        "mean": "One number a sample, where a batch normalisation has one a feature. Its gradient "
        "is minus the sum of a row of dxshift.",
        "xshift": "Used twice, for the result and for the variance, so two contributions arrive.",
        "sq": "Every feature of a sample receives the same, its part of what the variance "
        "receives.",
        "var": "The mean of the squares of a row. A sample whose features are all alike has "
        "variance 0; then eps alone keeps the root from being 0.",
        "rstd": "The reciprocal of the standard deviation: a sample whose numbers lie far apart is "
        "scaled down, and the gradient that goes back to it as well.",
        "norm": "Mean 0 and variance 1 in each row, up to eps. Multiplying a sample by 10 changes "
        "it only by what eps does.",
        "scaled": "It receives dout unchanged, as b is only added.",
        "out": "With w = 1 and b = 0 it would be norm. Its gradient is dout, as it is weighted by "
        "dout in L.",
        "L": "The output, so that the backward pass starts with 1. In a network the rest of the "
        "layers and the loss would stand here.",
    },
    mistake=(
        "Summing in the wrong direction. Mean and variance over the samples in the place of the "
        "features never complain, since a row broadcasts as well as a column: look whether each "
        "row of norm has mean 0. dw and db over the features in the place of the samples have the "
        "wrong shape, but not where there are as many samples as features: test with a batch that "
        "is not square. As in a batch normalisation, taking mean and variance for "
        "constants is the other classic; then a row of dx does not add up to 0 any more."
    ),
    questions=(
        Question(
            "Which of the gradients are summed over the samples, and which over the features?",
            "Those of w and b over the samples, since all samples share them. Those of mean, var "
            "and rstd over the features of a row, since all of the row shares them.",
        ),
        Question(
            "A sample is multiplied by 10. What happens to its output and to its gradient?",
            "The output stays as it is, but for eps. The gradient becomes ten times smaller, as "
            "rstd does: to move the output as far, x would have to move ten times as much.",
        ),
        Question(
            "Why does a transformer have layer normalisation, and not batch normalisation?",
            "Each position is normalised by itself, so the result does not depend on what else is "
            "in the batch or how long the texts are, and training and evaluation do the same.",
        ),
        Question(
            "In which two directions does dx have no part at all?",
            "Within a row it has none along a common shift, and none along the row's own norm, "
            "but for eps: changes in these directions are taken out again by the normalisation.",
        ),
    ),
    plot=Plot("along", "x"),
    references=(
        "llm.c, doc/layernorm/layernorm.py (Andrej Karpathy): the names, the steps, and the "
        "backward pass in one line; sq and scaled are named here in addition. The numbers are ours",
        "Jimmy Lei Ba, Jamie Ryan Kiros and Geoffrey Hinton, 'Layer Normalization' "
        "(arXiv 1607.06450)",
    ),
)
