"""Batch normalisation: nine small steps with their backward pass, or one."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, x: Any, gamma: Any, beta: Any, dout: Any, *, N: int) -> Any:
    out = xp.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
    L = xp.sum(dout * out)
    return L


def batchnorm_in_steps(
    xp: Any,
    x: Any,
    running_mean: None,
    running_var: None,
    gamma: Any,
    beta: Any,
    *,
    training: bool,
    eps: float,
) -> Any:
    """Kratzert's nine steps, with his names."""
    mu = xp.mean(x, 0)
    xmu = x - mu
    sq = xmu**2
    var = xp.mean(sq, 0)
    sqrtvar = xp.sqrt(var + eps)
    ivar = 1 / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    return gammax + beta


LESSON = Lesson(
    id="batchnorm",
    title="Batch normalisation",
    chapter="Normalisation",
    order=810,
    after=("mlp",),
    minutes=15,
    idea=(
        "Each feature, a column of x, is moved to mean 0 and scaled to variance 1 over the samples "
        "of the batch; then it gets a scale and a shift of its own, gamma and beta, which are "
        "learnt. So what the next layer gets keeps its size, however the weights before it "
        "change, which makes deep networks easier to train. The forward pass is nine short steps. "
        "The backward pass is their mirror image, and its one difficulty is that the mean and the "
        "variance are made of x, too: a sample acts on the output directly, through the mean, and "
        "through the variance, and x collects what comes back along all three. Multiplied out it "
        "is one line: what arrives, minus its mean, minus its part along xhat, and all of that "
        "times gamma and ivar. Close the node to take it in one step. To have an upstream "
        "gradient as in the middle of a network, the output is weighted by dout and added up, so "
        "that exactly dout arrives at out; in the same way dx stands for the gradient of x."
    ),
    program=program,
    opens={"out": batchnorm_in_steps},
    opened=("out",),
    leaves=(
        Leaf(
            "x",
            [[1.0, 2.0], [3.0, 6.0], [5.0, 4.0]],
            "a row a sample, a column a feature",
            ("N", 2),
        ),
        Leaf("gamma", [1.5, -0.5], "the scale of each feature, learnt"),
        Leaf("beta", [0.1, 0.2], "the shift of each feature, learnt"),
        Leaf(
            "dout",
            [[1.0, 0.5], [-0.5, 2.0], [0.25, -1.0]],
            "the upstream gradient: the weight of each output in L",
            ("N", 2),
        ),
    ),
    sizes=(Size("N", 3, 2, 8, "samples in the batch"),),
    forward=(
        Equation("mu", "add_rows(x) / N", "a mean for each feature"),
        Equation("xmu", "x - mu"),
        Equation("sq", "xmu**2"),
        Equation("var", "add_rows(sq) / N", "divided by N, not N − 1"),
        Equation("sqrtvar", "sqrt(var + 0.00001)", "eps keeps it from being 0"),
        Equation("ivar", "1 / sqrtvar"),
        Equation("xhat", "xmu * ivar", "mean 0 and variance 1, a little less by eps"),
        Equation("gammax", "gamma * xhat"),
        Equation("out", "gammax + beta"),
        Equation("L", "sum(dout * out)"),
    ),
    derivation=(
        Equation("dbeta", "add_rows(dout)", "added to every sample: the sum over the samples"),
        Equation("dgammax", "dout"),
        Equation("dgamma", "add_rows(dgammax * xhat)"),
        Equation("dxhat", "dgammax * gamma"),
        Equation("divar", "add_rows(dxhat * xmu)"),
        Equation("dsqrtvar", "-divar / sqrtvar**2", "the slope of 1/x is −1/x²"),
        Equation("dvar", "dsqrtvar / (2 * sqrtvar)", "the slope of a root"),
        Equation("dsq", "expand(dvar / N, sq)", "a mean hands each sample one Nth"),
        Equation(
            "dxmu", "dxhat * ivar + 2 * xmu * dsq", "Kratzert's dxmu1 and dxmu2: xmu is used twice"
        ),
        Equation("dmu", "-add_rows(dxmu)"),
        Equation("dx", "dxmu + dmu / N", "used twice: dx1 and dx2 of Kratzert"),
        Equation(
            "dx",
            "gamma * ivar * (N * dout - dbeta - xhat * dgamma) / N",
            "all in one, multiplied out",
        ),
    ),
    notes={
        "x": "Each column of the gradient adds up to 0: a shift of the whole feature is taken out "
        "again by the mean, so nothing asks for one.",
        "gamma": "It multiplies xhat, so it receives dout times xhat, added up over the samples. "
        "Scaling the feature is its task alone, as the division has taken out the scale of x.",
        "beta": "Added to every sample, so it receives the sum of dout over the samples. It makes "
        "a bias before the normalisation useless: mu would take that out again.",
        "dout": "It plays the rest of the network: since L is the sum of dout times out, the "
        "gradient that arrives at out is dout. Its own gradient is out.",
        "mu": "One number a feature, used by all samples: here they begin to depend on each other. "
        "Its gradient is minus the sum of dxmu over the samples. What xmu has from the variance "
        "drops out of that sum, since the xmu of a feature add up to 0.",
        "xmu": "It is used twice, in xhat and for the variance, so two contributions arrive: "
        "dxmu1 and dxmu2 in Kratzert's text.",
        "sq": "Every sample of a feature receives the same, one Nth of what the variance receives.",
        "var": "The mean of the squares: divided by N, as torch also does in order to normalise. "
        "For its running_var, which is used at evaluation, torch divides by N − 1; "
        "'backprop ninja' divides by N − 1 throughout.",
        "sqrtvar": "The standard deviation, with eps under the root so that a feature that never "
        "changes does not lead to a division by 0.",
        "ivar": "One number scales a whole feature, so it collects from all samples: the sum of "
        "dxhat times xmu.",
        "xhat": "Mean 0 and variance 1 in each column, up to eps, whatever scale x had. "
        "Multiplying x by 10 changes it only by what eps does.",
        "gammax": "It receives dout unchanged, as beta is only added.",
        "out": "With gamma = 1 and beta = 0 it would be xhat. Its gradient is dout, as it is "
        "weighted by dout in L.",
        "L": "The output, so that the backward pass starts with 1. In a network the rest "
        "of the layers and the loss would stand here.",
    },
    mistake=(
        "Taking mean and variance for constants, so that dx is only dout·gamma·ivar. Each step "
        "looks right, and the shapes are fine; but a column of dx adds up to 0 only if that of "
        "dout happens to, and finite differences do not confirm it. The next in "
        "line: N in one place and N − 1 in another. Both variances are in use, and the difference "
        "shows most in a small batch."
    ),
    questions=(
        Question(
            "In how many ways does a sample act on the outputs of its column?",
            "In three: directly, through the mean, and through the variance. What it receives is "
            "the sum of what comes back along these.",
        ),
        Question(
            "Why does each column of dx add up to 0?",
            "Adding the same number to a whole column moves its mean along and leaves xmu as it "
            "was, so L does not change in that direction. The sum of the column is the slope in "
            "that direction.",
        ),
        Question(
            "The batch has two samples. Why is dx nearly 0?",
            "Two different numbers, normalised, are −1 and 1, or 1 and −1, whatever they were. "
            "Only eps lets a little of their distance through. Set N to 2 and look.",
        ),
        Question(
            "The linear layer right before has a bias. What is its gradient?",
            "0 up to rounding: it shifts the whole column, and mu takes that out. Layers before a "
            "batch norm are therefore built without bias; beta does that task.",
        ),
        Question(
            "What is N for, and what N − 1, in torch?",
            "In training torch normalises with the variance that divides by N. What it keeps as "
            "running_var for evaluation is estimated with N − 1, which does not come out too small "
            "on average.",
        ),
        Question(
            "What changes at evaluation?",
            "The stored mean and variance take the place of the batch's. They do not depend on x, "
            "so each sample stands for itself, and the gradient is just dout·gamma/√(var + eps).",
        ),
    ),
    plot=Plot("along", "x"),
    references=(
        "Frederik Kratzert, 'Understanding the backward pass through Batch Normalization Layer' "
        "(2016): the nine steps, their names and the nine steps back. The numbers here are ours; "
        "his formulas give dbeta = (0.75, 1.5), dgamma = (−0.91856, 1.83711), and "
        "dmu = (−0.68892, 0.45928)",
        "Sergey Ioffe and Christian Szegedy, 'Batch Normalization' (arXiv 1502.03167): the layer, "
        "and N − 1 for evaluation",
    ),
)
