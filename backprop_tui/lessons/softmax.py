"""Softmax and cross-entropy: ten small steps, or one with the gradient (probs − onehot) / n."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question

Y = [2, 0, 1, 1]
"""The right class of each sample, counted from 0."""


def program(xp: Any, logits: Any) -> Any:
    loss = xp.nn.functional.cross_entropy(logits, xp.tensor(Y))
    return loss


def cross_entropy_in_steps(xp: Any, logits: Any, y: Any) -> Any:
    """The steps of 'backprop ninja'; `picked` is the only name that is not from there."""
    logit_maxes = xp.amax(logits, 1, keepdim=True)
    norm_logits = logits - logit_maxes
    counts = xp.exp(norm_logits)
    counts_sum = xp.sum(counts, 1, keepdim=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = xp.log(probs)
    picked = logprobs[range(4), y]
    return -xp.mean(picked)


LESSON = Lesson(
    id="softmax",
    title="Softmax and cross-entropy",
    chapter="Networks",
    order=630,
    after=("mlp", "sigmoid-neuron"),
    minutes=12,
    idea=(
        "A classifier gives every class a score, its logit. Softmax makes probabilities of the "
        "scores of a sample: it exponentiates them, which makes them positive, and divides by "
        "their sum, so that they add up to 1. The loss looks at one of them only, the probability "
        "of the right class: −log of it, averaged over the samples. Taken in small steps the "
        "backward pass is a long way with many factors. Multiplied out, nearly everything cancels, "
        "and what is left is the simplest gradient there is: the probability, minus 1 where the "
        "class is right, divided by the number of samples. Close the node to take it in one step, "
        "and see that both agree."
    ),
    program=program,
    opens={"loss": cross_entropy_in_steps},
    opened=("loss",),
    leaves=(
        Leaf(
            "logits",
            [[-2.85, 0.86, 0.28], [1.0, -2.0, 0.0], [0.5, -1.0, 0.0], [7.15, 10.86, 10.28]],
            "the scores, a row a sample and a column a class",
        ),
    ),
    forward=(
        Equation(
            "norm_logits", "logits - logit_maxes", "a row minus its largest cell: no exp overflows"
        ),
        Equation("counts", "exp(norm_logits)", "the largest of each row is now 1"),
        Equation("counts_sum", "columns(counts)", "one number a sample"),
        Equation("counts_sum_inv", "counts_sum**-1"),
        Equation("probs", "counts * counts_sum_inv", "each row adds up to 1"),
        Equation("probs", "softmax(logits)", "the steps so far in one"),
        Equation("logprobs", "log(probs)"),
        Equation(
            "loss",
            "-sum(onehot(array(2, 0, 1, 1), 3) * logprobs) / 4",
            "onehot: a row a sample, 1 at its right class, else 0",
        ),
        Equation(
            "loss",
            "-sum(onehot(array(2, 0, 1, 1), 3) * log_softmax(logits)) / 4",
            "all in one: log_softmax is the logarithm of softmax",
        ),
    ),
    derivation=(
        Equation(
            "dlogprobs", "-onehot(array(2, 0, 1, 1), 3) / 4", "only the right class was picked"
        ),
        Equation("dprobs", "dlogprobs / probs", "log: the slope is 1/p"),
        Equation(
            "dcounts_sum_inv",
            "columns(counts * dprobs)",
            "one number served its whole row, so the row is added up",
        ),
        Equation("dcounts_sum", "-(counts_sum**-2) * dcounts_sum_inv", "the slope of 1/x is −1/x²"),
        Equation(
            "dcounts",
            "counts_sum_inv * dprobs + dcounts_sum",
            "used twice: as a numerator, and in the sum, which goes to every cell of its row",
        ),
        Equation("dnorm_logits", "counts * dcounts", "exp is its own slope"),
        Equation("dnorm_logits", "(probs - onehot(array(2, 0, 1, 1), 3)) / 4", "multiplied out"),
        Equation(
            "dlogits",
            "(softmax(logits) - onehot(array(2, 0, 1, 1), 3)) / 4",
            "the fused result; the largest logits get nothing extra for being subtracted",
        ),
    ),
    notes={
        "logits": "Each row of the gradient adds up to 0: where the right class gains, the others "
        "lose exactly as much. Shifting a whole row changes nothing, so no gradient asks for it.",
        "logit_maxes": "Its gradient is 0, up to rounding. It is subtracted from a whole row, and "
        "a common shift cancels in the division; so it may be chosen freely, and is chosen such "
        "that exp cannot overflow.",
        "norm_logits": "The largest cell of each row is 0. Here the whole gradient has already "
        "become probs − onehot, divided by the number of samples.",
        "counts": "Every count is used twice, for its own probability and in the sum of its row, "
        "so two contributions arrive: by the first the right class wants to grow, by the second "
        "all classes want to shrink.",
        "counts_sum": "One number a sample. It is copied to the three cells of its row on the way "
        "back: a sum hands all its terms the same.",
        "counts_sum_inv": "One number scales a whole row, so it collects from the whole row; only "
        "the right class sends anything but 0.",
        "probs": "Only the probability of the right class has a gradient, −1/p divided by the "
        "number of samples: the smaller p, the larger. That factor p in the denominator is what "
        "cancels later.",
        "logprobs": "0 for a class that is certain, very negative for one that is unlikely. Its "
        "gradient is −1 at the right classes, divided by the number of samples, and 0 elsewhere.",
        "picked": "The logarithm for the right class of each sample. All others drop out of "
        "the loss here, and can only matter by the sum that they are part of.",
        "loss": "The mean of −log p. With three classes and no idea at all it is log 3 = 1.0986.",
    },
    mistake=(
        "Giving cross_entropy probabilities in the place of logits. It takes the softmax itself, "
        "so then it is taken twice. Nothing fails; but even a perfect answer, probability 1 for "
        "the right one of three classes, then costs log((e + 2)/e) = 0.5514, and training is "
        "slow, since the gradient passes two squashings. The next in line: writing "
        "probs − onehot and forgetting to divide by the number of samples, because the loss "
        "is a mean."
    ),
    questions=(
        Question(
            "Why do the gradients of a row of logits add up to 0?",
            "Adding the same number to all logits of a sample does not change its probabilities, "
            "so the slope in that direction is 0, and that slope is the sum of the row. You can "
            "also see it in the formula: the probabilities add up to 1, and so does the onehot "
            "row.",
        ),
        Question(
            "Why is the gradient through logit_maxes 0?",
            "A larger maximum shifts all norm_logits of the row down alike, and the division by "
            "the sum undoes that. What it receives is minus the sum of a row of the gradient of "
            "norm_logits, which is 0.",
        ),
        Question(
            "Then why is it subtracted at all?",
            "For the numbers, not for the mathematics. With logits like 123, 456 and 789 exp(789) "
            "overflows, and infinity over infinity is nan; with the maximum subtracted the largest "
            "power is exp(0) = 1.",
        ),
        Question(
            "The probability of the right class is 0.9, or 0.1. What does its logit receive?",
            "(0.9 − 1)/n = −0.1/n, or (0.1 − 1)/n = −0.9/n: the more wrong, the harder it is "
            "pulled up. In size it never exceeds 1/n, although −log p itself has no bound.",
        ),
        Question(
            "The last row of logits is the first plus 10. What do the two have in common?",
            "Their probabilities, as a common shift cancels. Their gradients differ only because "
            "their right classes do: 2 and 1.",
        ),
        Question(
            "What does closing the node gain in practice?",
            "Fewer steps and less memory, and safer numbers: log_softmax never forms a probability "
            "that has become 0 before its logarithm is taken.",
        ),
    ),
    plot=Plot("along", "logits"),
    references=(
        "CS231n, 'Linear Classification': scores (−2.85, 0.86, 0.28) with the right class 2 have "
        "the loss 1.04; [1, −2, 0] become [0.7, 0.04, 0.26], and halved [0.55, 0.12, 0.33]; "
        "and the subtraction of the maximum. The last row is the first plus 10, our own",
        "nn-zero-to-hero, part 4, 'backprop ninja' (Andrej Karpathy): the names of the steps, and "
        "the fused gradient, softmax minus 1 at the right classes, over n",
    ),
)
