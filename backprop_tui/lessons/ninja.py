"""Backprop ninja: a language model with batch normalisation, one named tensor after the other."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size

Xb = [[0, 0, 0], [0, 0, 2], [0, 2, 3], [2, 3, 3]]
"""Three characters each, as numbers in the vocabulary . a e m n: the contexts of emma."""

Yb = [2, 3, 3, 1]
"""The character that comes next: e, m, m, a."""


def program(
    xp: Any,
    C: Any,
    W1: Any,
    b1: Any,
    bngain: Any,
    bnbias: Any,
    W2: Any,
    b2: Any,
    *,
    n_hidden: int,
) -> Any:
    n = len(Xb)

    # The three characters of a context are looked up and put side by side.
    emb = C[xp.tensor(Xb)]
    embcat = emb.view(n, -1)

    # The hidden layer before its normalisation.
    hprebn = embcat @ W1 + b1

    # Batch normalisation.
    bnmeani = xp.sum(hprebn, 0, keepdim=True) / n
    bndiff = hprebn - bnmeani
    bndiff2 = bndiff**2
    bnvar = xp.sum(bndiff2, 0, keepdim=True) / (n - 1)
    bnvar_inv = (bnvar + 1e-5) ** -0.5
    bnraw = bndiff * bnvar_inv
    hpreact = bngain * bnraw + bnbias

    # Tanh and the output layer.
    h = xp.tanh(hpreact)
    logits = h @ W2 + b2

    # Cross-entropy.
    logit_maxes = xp.amax(logits, 1, keepdim=True)
    norm_logits = logits - logit_maxes
    counts = xp.exp(norm_logits)
    counts_sum = xp.sum(counts, 1, keepdim=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = xp.log(probs)
    loss = -xp.mean(logprobs[range(n), Yb])
    return loss


LESSON = Lesson(
    id="ninja",
    title="Backprop ninja",
    chapter="Networks",
    order=640,
    after=("softmax", "batchnorm", "embedding", "mlp"),
    minutes=30,
    idea=(
        "The exercise of the lecture 'Becoming a backprop ninja': a small network reads three "
        "characters and guesses the next one, and the way back is taken by hand through every "
        "tensor that has a name, 26 of them. Nothing here is new; everything comes together: "
        "rows of a table that are used several times, a linear layer, a batch normalisation, tanh, "
        "softmax with cross-entropy. The batch is the word emma: from ... comes e, from ..e "
        "comes m, from .em comes m, from emm comes a. Go backwards and predict each gradient "
        "before you look: first its shape, which is that of the tensor, then which sums it needs. "
        "The two long chains can be taken in one line each: dlogits, the gradient of logits, and "
        "dhprebn, that of hprebn."
    ),
    program=program,
    leaves=(
        Leaf(
            "C",
            [[0.16, -0.31], [0.5, 0.07], [0.7, 0.94], [0.29, 1.51], [1.06, 0.6]],
            "the table: two numbers for each of the characters . a e m n",
        ),
        Leaf(
            "W1",
            [
                [-0.35, -0.38, -0.09],
                [-1.66, -0.74, 0.2],
                [-0.63, 0.02, -0.88],
                [-0.28, -0.09, 0.37],
                [-0.82, 0.18, -0.06],
                [0.28, -1.16, 1.03],
            ],
            "weights of the hidden layer",
            (6, "n_hidden"),
        ),
        Leaf("b1", [-0.02, 0.02, -0.04], "bias of the hidden layer", ("n_hidden",)),
        Leaf("bngain", [[0.8, 0.9, 1.17]], "scale after the normalisation", (1, "n_hidden")),
        Leaf("bnbias", [[-0.1, -0.01, 0.11]], "shift after the normalisation", (1, "n_hidden")),
        Leaf(
            "W2",
            [
                [0.82, -0.44, -0.28, 0.2, 1.0],
                [0.47, 0.08, -0.18, -0.21, -0.47],
                [0.16, -0.27, 0.32, -1.01, -0.14],
            ],
            "weights of the output layer",
            ("n_hidden", 5),
        ),
        Leaf("b2", [0.02, -0.01, 0.01, -0.17, 0.08], "bias of the output layer"),
    ),
    sizes=(Size("n_hidden", 3, 1, 6, "units in the hidden layer (the lecture has 64)"),),
    forward=(
        Equation(
            "emb",
            "reshape(onehot(array(0,0,0, 0,0,2, 0,2,3, 2,3,3), 5) @ C, shape_of(emb))",
            "a lookup is a product with rows that have a single 1",
        ),
        Equation("embcat", "reshape(emb, shape_of(embcat))", "three pairs become one row of six"),
        Equation("hprebn", "embcat @ W1 + b1"),
        Equation("bnmeani", "rows(hprebn) / 4"),
        Equation("bndiff", "hprebn - bnmeani"),
        Equation("bndiff2", "bndiff**2"),
        Equation("bnvar", "rows(bndiff2) / 3", "n − 1, with n = 4 samples"),
        Equation("bnvar_inv", "1 / sqrt(bnvar + 0.00001)"),
        Equation("bnraw", "bndiff * bnvar_inv"),
        Equation("hpreact", "bngain * bnraw + bnbias"),
        Equation("h", "tanh(hpreact)"),
        Equation("logits", "h @ W2 + b2"),
        Equation("norm_logits", "logits - logit_maxes"),
        Equation("counts", "exp(norm_logits)"),
        Equation("counts_sum", "columns(counts)"),
        Equation("counts_sum_inv", "counts_sum**-1"),
        Equation("probs", "counts * counts_sum_inv"),
        Equation("logprobs", "log(probs)"),
        Equation("loss", "-sum(onehot(array(2, 3, 3, 1), 5) * logprobs) / 4"),
    ),
    derivation=(
        Equation("dlogprobs", "-onehot(array(2, 3, 3, 1), 5) / 4", "only those that were picked"),
        Equation("dprobs", "dlogprobs / probs"),
        Equation("dcounts_sum_inv", "columns(counts * dprobs)"),
        Equation("dcounts_sum", "-(counts_sum**-2) * dcounts_sum_inv"),
        Equation("dcounts", "counts_sum_inv * dprobs + dcounts_sum", "used twice"),
        Equation("dnorm_logits", "counts * dcounts"),
        Equation("dlogits", "dnorm_logits", "what comes by logit_maxes is 0, up to rounding"),
        Equation(
            "dlogits",
            "(softmax(logits) - onehot(array(2, 3, 3, 1), 5)) / 4",
            "all of the above in one line",
        ),
        Equation("dh", "dlogits @ W2.T"),
        Equation("dW2", "h.T @ dlogits"),
        Equation("db2", "add_rows(dlogits)"),
        Equation("dhpreact", "(1 - h**2) * dh"),
        Equation("dbngain", "rows(bnraw * dhpreact)"),
        Equation("dbnbias", "rows(dhpreact)"),
        Equation("dbnraw", "bngain * dhpreact"),
        Equation("dbnvar_inv", "rows(bndiff * dbnraw)"),
        Equation("dbnvar", "-(bnvar_inv**3) * dbnvar_inv / 2", "the slope of v to the power of −½"),
        Equation("dbndiff2", "expand(dbnvar / 3, bndiff2)", "n − 1 again"),
        Equation("dbndiff", "bnvar_inv * dbnraw + 2 * bndiff * dbndiff2", "used twice"),
        Equation("dbnmeani", "-rows(dbndiff)"),
        Equation("dhprebn", "dbndiff + dbnmeani / 4", "used twice"),
        Equation(
            "dhprebn",
            "bngain * bnvar_inv"
            " * (4 * dhpreact - rows(dhpreact) - bnraw * rows(dhpreact * bnraw) * 4 / 3) / 4",
            "from hpreact in one line; 4/3 is n/(n − 1)",
        ),
        Equation("dembcat", "dhprebn @ W1.T"),
        Equation(
            "dW1",
            "embcat.T @ dhprebn",
            "and db1, the sum of the rows of dhprebn, is 0 up to rounding",
        ),
        Equation("demb", "reshape(dembcat, shape_of(emb))"),
        Equation(
            "dC",
            "onehot(array(0,0,0, 0,0,2, 0,2,3, 2,3,3), 5).T @ matrix(demb)",
            "matrix: demb as 12 rows, each added to the row of C that it was copied from",
        ),
    ),
    notes={
        "logprobs": "Name 1. Only the logarithm for the right character of each sample is in the "
        "loss: −1/n there, 0 everywhere else.",
        "probs": "Name 2. The slope of log is 1/p: a right character that was thought unlikely "
        "gets a large gradient.",
        "counts_sum_inv": "Name 3. One number for a whole row of counts, so the row is added up: "
        "4×1, as the tensor itself.",
        "counts_sum": "Name 4. The slope of 1/x is −1/x².",
        "counts": "Name 5. Used twice: for its own probability, and in the sum of the row. The "
        "second contribution is a column, copied to all cells of the row.",
        "norm_logits": "Name 6. The exponential is its own slope, and its value is counts; so what "
        "arrives at counts is multiplied by counts.",
        "logit_maxes": "Name 7. Its gradient should be 0, since a common shift of a row "
        "changes no probability; what you see is rounding, at first some 1e-17.",
        "logits": "Name 8. What comes by the maxima is 0, so it is dnorm_logits: the "
        "probabilities, minus 1 at the right character, divided by n. Each row adds up to 0.",
        "h": "Name 9. Each unit hears from all five characters, through its row of W2.",
        "W2": "Name 10. If you do not remember where the transpose goes, let the shapes decide: "
        "from h and dlogits only hᵀ @ dlogits has the shape of W2.",
        "b2": "Name 11. It was added to every row, so it collects all rows.",
        "hpreact": "Name 12. Tanh lets 1 − h² through, so a unit that is near ±1 for a sample "
        "learns little from it.",
        "bngain": "Name 13. One row for all samples: bnraw times what arrives, added up over the "
        "samples.",
        "bnbias": "Name 14. It is added, so what arrives is added up over the samples, and that "
        "is all.",
        "bnraw": "Name 15. Mean 0 in each column and variance 1, up to eps, if the variance is "
        "counted with n − 1.",
        "bnvar_inv": "Name 16. One number a unit, used by all samples: a sum over the rows.",
        "bnvar": "Name 17. Divided by n − 1 here, unlike in the batchnorm lesson and in "
        "torch's layer, which normalise with n. With n − 1 (Bessel's correction) it is not too "
        "small on average, which counts in small batches.",
        "bndiff2": "Name 18. All samples of a unit receive the same: the variance's gradient over "
        "n − 1.",
        "bndiff": "Name 19. Used twice, in bnraw and in bndiff2. After the first "
        "contribution, from bnraw, its gradient is not finished.",
        "bnmeani": "Name 20. It was subtracted from every row, so it receives minus the sum of the "
        "rows of dbndiff.",
        "hprebn": "Name 21. Used twice: directly and in the mean. Each column of its gradient adds "
        "up to 0, because the mean takes a common shift out.",
        "embcat": "Name 22. Six numbers a sample, two for each of its three characters. What "
        "arrives at it has come back through both layers.",
        "W1": "Name 23. Its gradient is embcatᵀ @ dhprebn: a sum over the samples, hidden in the "
        "product.",
        "b1": "Name 24. 0, up to rounding: a bias shifts a whole column, and the batch "
        "normalisation that follows takes the shift out. It is of no use here, bnbias does its "
        "task; what you see is rounding, at first some 1e-17.",
        "emb": "Name 25. The same numbers as embcat, in another shape, and so are their gradients: "
        "a view moves nothing.",
        "C": "Name 26. The row of the dot was read six times, so it collects six rows of demb. "
        "Those of a and n were not read in this batch, and receive 0.",
        "loss": "The mean of −log p over the samples. Without any idea it would be log 5 = 1.6094.",
    },
    mistake=(
        "Forgetting a sum where something was broadcast, or a contribution where something was "
        "used twice (counts, bndiff, hprebn, the rows of C). The first shows at once: the gradient "
        "has another shape than its tensor. The second does not: the shape fits, and a number is "
        "missing in it. Count the uses of each name before you write down its gradient. And with "
        "dC[Xb] = demb, or dC[Xb] += demb in one stroke, only one use of each character counts: "
        "the rows must be added one after the other."
    ),
    questions=(
        Question(
            "Why is the gradient of b1 zero, and what does that mean for the layer?",
            "It shifts a whole column of hprebn, and bnmeani shifts along with it, so bndiff stays "
            "as it was. A linear layer before a batch normalisation needs no bias.",
        ),
        Question(
            "Which of the names are used more than once, so that contributions are added?",
            "counts, bndiff and hprebn, each twice; logits also twice, though what comes by the "
            "maxima is 0; and the rows of C as often as their character is read.",
        ),
        Question(
            "Which rows of dC are 0, and why?",
            "Those of a and n: neither stands in a context of this batch. That a is the right "
            "answer for the last sample does not matter to C, since targets are not looked up.",
        ),
        Question(
            "How do you find dW2 from shapes alone?",
            "It must have the shape of W2, units × characters. h is samples × units and dlogits is "
            "samples × characters, and only hᵀ @ dlogits gives that.",
        ),
        Question(
            "Where does n/(n − 1) in the short formula of dhprebn come from?",
            "The means of the batch divide by n and the variance by n − 1. With a variance that "
            "divides by n, the factor would be 1, as in the batchnorm lesson.",
        ),
        Question(
            "The character n is in no sample and is never right. Does anything of it learn?",
            "Yes: its column of W2 and its cell of b2. In every sample the gradient of its logit "
            "is its probability divided by the number of samples, which is positive, so an update "
            "lowers its bias.",
        ),
    ),
    plot=Plot("histogram", "h"),
    references=(
        "nn-zero-to-hero, part 4, 'Building makemore Part 4: Becoming a Backprop Ninja' (Andrej "
        "Karpathy): the 26 names and their order, n − 1 in the variance, and the two formulas in "
        "one line. There the batch is 32, with 10 numbers a character, 64 units and 27 characters; "
        "the numbers here are ours",
    ),
)
