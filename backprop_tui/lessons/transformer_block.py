"""A transformer block: attention with two heads and a small network, each beside a residual."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def attend(xp: Any, Q: Any, K: Any, V: Any, hidden: Any) -> Any:
    """One head, as in the lesson before."""
    scores = Q @ K.T
    scaled = scores / Q.shape[1] ** 0.5
    masked = xp.masked_fill(scaled, hidden, float("-inf"))
    weights = xp.softmax(masked, -1)
    return weights @ V


def feed_forward(xp: Any, n: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    """Two layers for each position by itself, wider in the middle."""
    pre = n @ W1 + b1
    act = xp.nn.functional.gelu(pre)
    return act @ W2 + b2


def program(
    xp: Any,
    x: Any,
    gain1: Any,
    shift1: Any,
    W_q: Any,
    W_k: Any,
    W_v: Any,
    W_o: Any,
    gain2: Any,
    shift2: Any,
    W1: Any,
    b1: Any,
    W2: Any,
    b2: Any,
    G: Any,
    *,
    T: int,
    causal: int,
) -> Any:
    visible = xp.tril(xp.ones(T, T)) if causal else xp.ones(T, T)
    hidden = visible == 0

    n1 = xp.nn.functional.layer_norm(x, (4,), gain1, shift1)
    Q = n1 @ W_q
    K = n1 @ W_k
    V = n1 @ W_v
    Q1, Q2 = xp.chunk(Q, 2, 1)  # each head has two of the four columns
    K1, K2 = xp.chunk(K, 2, 1)
    V1, V2 = xp.chunk(V, 2, 1)
    head1 = attend(xp, Q1, K1, V1, hidden)
    head2 = attend(xp, Q2, K2, V2, hidden)
    heads = xp.cat((head1, head2), 1)
    attended = heads @ W_o
    mid = x + attended

    n2 = xp.nn.functional.layer_norm(mid, (4,), gain2, shift2)
    fed = feed_forward(xp, n2, W1, b1, W2, b2)
    out = mid + fed

    counted = G * out
    L = xp.sum(counted)
    return L


# Drawn once from normal distributions and rounded to two decimals.
LESSON = Lesson(
    id="transformer-block",
    title="A transformer block",
    chapter="Attention",
    order=1020,
    idea=(
        "A transformer is a stack of blocks like this one. A block has two halves. In the first "
        "the positions collect from each other, by attention with two heads; in the second each "
        "position is worked on by itself, by a small network. Both halves are built alike: a copy "
        "is normalised, goes through the layer, and is then added to what was there before. That "
        "sum, the residual, is what makes deep stacks learnable: it hands the gradient on as it "
        "is, past the norm, the attention and the weights, so from out to x there is a way on "
        "which nothing is multiplied. What comes back through the layer is added to it. The boxes "
        "attend and feed_forward are folded at first: the key x unfolds one, X all."
    ),
    after=("attention", "layernorm", "mlp"),
    minutes=20,
    program=program,
    leaves=(
        Leaf(
            "x",
            [[-0.36, 1.2, 1.4, 0.32], [0.41, -0.49, -0.91, -0.9], [-1.0, 0.93, -0.06, 0.13]],
            "what comes in, a row for each position",
            ("T", 4),
        ),
        Leaf("gain1", [1.2, 0.8, -0.5, 1.1], "the scale after the first norm"),
        Leaf("shift1", [0.1, -0.2, 0.3, 0.05], "what is added after the first norm"),
        Leaf(
            "W_q",
            [
                [-0.51, -0.87, -0.96, -0.67],
                [0.48, 0.01, -0.37, -0.19],
                [-1.14, 0.98, -0.97, 0.03],
                [1.71, -2.04, -1.13, -0.58],
            ],
            "weights of the queries: two columns a head",
        ),
        Leaf(
            "W_k",
            [
                [0.09, -1.37, -0.19, -0.02],
                [0.14, -1.91, 0.52, 1.28],
                [0.35, -0.58, -0.49, -2.12],
                [0.38, 1.2, 0.52, -2.38],
            ],
            "weights of the keys: two columns a head",
        ),
        Leaf(
            "W_v",
            [
                [-0.26, -0.06, -0.29, 0.62],
                [-1.05, -0.43, 0.36, 0.59],
                [0.1, 0.63, 0.31, -0.64],
                [0.78, -0.3, -0.98, 0.26],
            ],
            "weights of the values: two columns a head",
        ),
        Leaf(
            "W_o",
            [
                [1.09, 0.58, 0.6, 0.11],
                [-1.48, 0.41, 0.09, -1.58],
                [-0.39, -0.53, 0.64, 0.07],
                [0.18, 0.15, -0.8, -1.18],
            ],
            "weights that mix the heads: two rows a head",
        ),
        Leaf("gain2", [0.9, 1.3, 0.7, -1.1], "the scale after the second norm"),
        Leaf("shift2", [-0.1, 0.15, 0.2, -0.25], "what is added after the second norm"),
        Leaf(
            "W1",
            [
                [0.03, -0.18, -0.01, -0.1, -0.3, 0.33, 0.12, -0.37],
                [-1.14, -1.55, -0.86, -0.09, 0.55, -0.25, 0.41, 0.7],
                [1.43, 0.17, 0.9, 0.14, -0.74, -1.36, 0.18, 0.53],
                [1.48, -0.4, 0.29, -0.07, -1.42, 0.22, -0.19, -0.77],
            ],
            "weights of the small network, first layer",
        ),
        Leaf(
            "b1",
            [0.34, -0.12, 0.09, -0.05, -0.14, -0.03, 0.16, -0.18],
            "biases of its first layer",
        ),
        Leaf(
            "W2",
            [
                [-0.83, 0.9, 0.22, -0.48],
                [-0.05, -0.78, -0.03, 0.43],
                [-0.97, 0.43, 0.4, -0.14],
                [0.05, -0.17, -0.22, -0.93],
                [0.82, -0.34, 0.07, -0.11],
                [0.23, 0.28, -0.51, 0.18],
                [-0.13, -0.44, 0.65, 0.59],
                [-0.45, -0.15, -0.5, -0.57],
            ],
            "weights of its second layer",
        ),
        Leaf("b2", [-0.2, 0.11, -0.28, -0.29], "biases of its second layer"),
        Leaf(
            "G",
            [[0.29, -0.72, 1.23, -0.96], [-0.49, -0.78, -2.31, 0.35], [0.7, 0.96, -0.19, 0.67]],
            "how much each cell of out counts in L",
            ("T", 4),
        ),
    ),
    sizes=(
        Size("T", 3, 1, 5, "positions"),
        Size("causal", 1, 0, 1, "whether a position is kept from seeing later ones (1) or not (0)"),
    ),
    forward=(
        Equation("n1", "normalised(x) * gain1 + shift1", "each position by itself"),
        Equation("Q", "n1 @ W_q", "K and V likewise"),
        Equation("beside(Q1, Q2)", "Q", "each head takes two columns, of K and V too"),
        Equation("head1", "softmax(hide(Q1 @ K1.T / sqrt(2), causal)) @ V1"),
        Equation("head2", "softmax(hide(Q2 @ K2.T / sqrt(2), causal)) @ V2"),
        Equation("attended", "beside(head1, head2) @ W_o"),
        Equation("mid", "x + attended", "the first residual"),
        Equation("n2", "normalised(mid) * gain2 + shift2"),
        Equation("fed", "gelu(n2 @ W1 + b1) @ W2 + b2"),
        Equation("out", "mid + fed", "the second residual"),
        Equation("L", "sum(G * out)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("dout", "G"),
        Equation("dfed", "dout", "a sum hands the same to both sides"),
        Equation("dW2", "act.T @ dfed"),
        Equation("dpre", "dfed @ W2.T * gelu_slope(pre)"),
        Equation("dW1", "n2.T @ dpre"),
        Equation("dn2", "dpre @ W1.T"),
        Equation(
            "dmid",
            "dout + norm_back(gain2 * dn2, mid)",
            "as it is through the sum, and once more through the norm and the network",
        ),
        Equation("dattended", "dmid"),
        Equation("dW_o", "beside(head1, head2).T @ dattended"),
        Equation("beside(dhead1, dhead2)", "dattended @ W_o.T"),
        Equation("dV1", "softmax(hide(Q1 @ K1.T / sqrt(2), causal)).T @ dhead1"),
        Equation("beside(dQ1, dQ2)", "dQ", "inside of a head: see the lesson before"),
        Equation("dW_q", "n1.T @ dQ", "those of W_k and W_v likewise"),
        Equation("dn1", "dQ @ W_q.T + dK @ W_k.T + dV @ W_v.T", "used three times"),
        Equation(
            "dx",
            "dmid + norm_back(gain1 * dn1, x)",
            "the same pattern as at mid",
        ),
        Equation(
            "dx",
            "G + norm_back(gain2 * dn2, mid) + norm_back(gain1 * dn1, x)",
            "so G itself arrives at x, whatever the weights are",
        ),
    ),
    folded=("attend", "feed_forward"),
    notes={
        "x": "Two contributions: dmid, the gradient of mid, by way of the residual, and what comes "
        "back through the first norm. The numbers of each row of the second add up to 0.",
        "gain1": "It stands beside the normalised x in every row, so it collects over positions.",
        "shift1": "What n1 receives, added up over the positions.",
        "W_q": "It hears from the loss only through the softmax: where a head is sure, its "
        "queries learn little.",
        "W_k": "Like the queries, the keys are behind the softmax.",
        "W_v": "The values are mixed, not compared: what comes back to these weights has passed no "
        "softmax.",
        "W_o": "Two rows belong to each head. Were it 0, the first half would add nothing and "
        "send nothing back, and yet it would receive a gradient itself.",
        "gain2": "The same as gain1, in the second half.",
        "shift2": "What n2 receives, added up over the positions.",
        "W1": "The small network is the same for all positions, so its weights collect over them.",
        "b1": "It collects what pre receives, over all positions.",
        "W2": "Its gradient is what the units gave out, transposed, times what fed receives.",
        "b2": "It is added to each row of out, so it receives the sum of the rows of G.",
        "G": "It stands for the blocks above and the loss.",
        "n1": "It is used three times, for queries, keys and values, and adds up what comes back "
        "from all three.",
        "Q": "What the positions ask, both heads side by side.",
        "K": "What they are found by. With causal = 1 the last position is seen by itself only.",
        "V": "What they give. With causal = 1 the last position gives to itself alone.",
        "Q1": "The first two columns. Cutting Q in two costs nothing, and each half gets its own "
        "gradient back.",
        "Q2": "The last two columns, for the second head.",
        "K1": "The keys of the first head.",
        "K2": "The keys of the second head.",
        "V1": "The values of the first head.",
        "V2": "The values of the second head.",
        "scores": "One table for each head, so two heads can look at two different positions.",
        "scaled": "Divided by √2: a head has two columns.",
        "masked": "With causal = 1, what would look at a later position is −∞, and receives 0.",
        "weights": "The rows add up to 1. The first position has nothing to choose if causal is "
        "1: its weight is 1, and nothing comes back through its scores.",
        "head1": "What the first head has collected for each position.",
        "head2": "What the second head has collected. The two do not know of each other.",
        "heads": "Side by side again, four columns. On the way back each head gets its own two.",
        "attended": "A correction to x. It receives dmid, the whole of it.",
        "mid": "Here the gradient is added up: dout, as it is, and what has come back through the "
        "second norm and the small network.",
        "n2": "Normalised, but mid itself goes on beside it, untouched.",
        "pre": "A row for each position, wider than the block.",
        "act": "gelu is like relu with a soft corner: a number far below 0 gives almost 0 and "
        "lets almost nothing back.",
        "fed": "A correction to mid. It receives dout, the whole of it.",
        "out": "What comes in, plus two corrections. It has the shape of x, so blocks can be "
        "stacked.",
        "counted": "The cells of out, weighted by G.",
        "L": "Their sum, from which the backward pass starts with 1.",
    },
    mistake=(
        "Losing one of the two ways at a residual: sending back only what came through the layer, "
        "or writing it over the other in place of adding. All shapes fit, and each layer by itself "
        "is right. There is a quick test: with W_o and W2 at 0 the block does nothing but add b2, "
        "so x must receive G exactly. The next in line is to take the residual from n1 instead "
        "of x: then every gradient has to pass the norm, and no way is left on which nothing is "
        "multiplied."
    ),
    questions=(
        Question(
            "W_o and W2 are 0. What does x receive, and which weights receive anything?",
            "x receives G, as both corrections send nothing back. Of the matrices only W_o and W2 "
            "themselves receive a gradient; it is what came into them, times what arrives behind "
            "them. So a block that does nothing yet can still learn.",
        ),
        Question(
            "At which nodes are contributions added up, and how many?",
            "At mid and at x two each, from the residual and from the norm; at n1 three, from "
            "queries, keys and values; at Q, K and V two each, one from either head. Inside the "
            "products the weights add up over positions.",
        ),
        Question(
            "What comes back to x through the norm adds up to 0 in each row. Why?",
            "If all numbers of a row rise by the same, the norm takes it out again. So this way "
            "has no slope in that direction; only the residual has.",
        ),
        Question(
            "G is 0 but for its first row, and causal is 1. Which rows of x receive something?",
            "Only the first. The first row of out depends on no later position, since it does not "
            "see them; causal masks keep the future out, forwards and backwards.",
        ),
        Question(
            "In the first transformers the norm came after the sum. What does this change?",
            "Then the way past the layer goes through a norm in every half, and what arrives at "
            "the bottom of a deep stack has been through all of them. With the norm before the "
            "layer there is a way with sums only.",
        ),
        Question(
            "What is gained by two heads of two columns over one head of four?",
            "Each head has its own softmax, so a position can attend to two things at once. The "
            "number of weights stays the same.",
        ),
    ),
    plot=Plot("histogram", "act"),
    references=(
        "A. Vaswani et al., Attention Is All You Need (arXiv 1706.03762): heads, residuals, the "
        "network for each position",
        "R. Xiong et al., On Layer Normalization in the Transformer Architecture "
        "(arXiv 2002.04745): why the norm is put before the layer",
        "PyTorch's documentation of nn.MultiheadAttention, which the tests hold this block "
        "against; W_q, W_k and W_v are its in_proj_weight, transposed. The numbers are ours",
    ),
)
