"""An LSTM cell, step by step: four gates, and a cell state that is changed by adding."""

from typing import Any

from backprop_tui.lessons.base import AtLeast, Equation, Leaf, Lesson, Plot, Question, Size


def program(
    xp: Any,
    x: Any,
    y: Any,
    h0: Any,
    c0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    T: int,
    hidden: int,
) -> Any:
    # Torch stacks the four gates in this order: i, f, g, o.
    W_ii = weight_ih[0]
    W_if = weight_ih[1]
    W_ig = weight_ih[2]
    W_io = weight_ih[3]
    W_hi = weight_hh[0]
    W_hf = weight_hh[1]
    W_hg = weight_hh[2]
    W_ho = weight_hh[3]
    b_ii = bias_ih[0]
    b_if = bias_ih[1]
    b_ig = bias_ih[2]
    b_io = bias_ih[3]
    b_hi = bias_hh[0]
    b_hf = bias_hh[1]
    b_hg = bias_hh[2]
    b_ho = bias_hh[3]
    h, c, J = h0, c0, 0.0
    for t in range(1, T + 1):
        x_t = x[t - 1]
        a_i = W_ii @ x_t + b_ii + W_hi @ h + b_hi
        a_f = W_if @ x_t + b_if + W_hf @ h + b_hf
        a_g = W_ig @ x_t + b_ig + W_hg @ h + b_hg
        a_o = W_io @ x_t + b_io + W_ho @ h + b_ho
        i = xp.sigmoid(a_i)
        f = xp.sigmoid(a_f)
        g = xp.tanh(a_g)
        o = xp.sigmoid(a_o)
        kept = f * c
        added = i * g
        c = kept + added
        tanh_c = xp.tanh(c)
        h = o * tanh_c
        y_t = y[t - 1]
        diff = h - y_t
        J = J + 0.5 * diff**2
    E = xp.sum(J)
    return E


LESSON = Lesson(
    id="lstm",
    title="An LSTM",
    chapter="Recurrence",
    order=770,
    idea=(
        "A plain recurrent network overwrites its state at every step; an LSTM has a second state, "
        "the cell c, which it changes by adding. The new cell is f ⊙ c + i ⊙ g: the forget gate f "
        "says how much of the old cell stays, the input gate i how much of the candidate g is "
        "written, and the output gate o how much of the cell is shown as h. On the direct path "
        "from a cell to the one before it, the gradient is multiplied by f and by nothing else: no "
        "matrix, no tanh. Where f is near 1 it arrives almost whole, and that is why an LSTM can "
        "learn from what happened many steps ago."
    ),
    after=("rnn", "vanishing"),
    minutes=15,
    program=program,
    leaves=(
        Leaf("x", [[1.0, 2.0], [0.5, 3.0]], "the inputs, a row a step", (AtLeast("T"), 2)),
        Leaf("y", [[0.5], [1.25]], "the targets of h, a row a step", (AtLeast("T"), "hidden")),
        Leaf("h0", [0.0], "the state at the beginning", ("hidden",)),
        Leaf("c0", [0.0], "the cell at the beginning", ("hidden",)),
        Leaf(
            "weight_ih",
            [[[0.95, 0.8]], [[0.7, 0.45]], [[0.45, 0.25]], [[0.6, 0.4]]],
            "weights of the input: W_ii, W_if, W_ig, W_io",
            (4, "hidden", 2),
        ),
        Leaf(
            "weight_hh",
            [[[0.8]], [[0.1]], [[0.15]], [[0.25]]],
            "weights of the state: W_hi, W_hf, W_hg, W_ho",
            (4, "hidden", "hidden"),
        ),
        Leaf(
            "bias_ih",
            [[0.65], [0.15], [0.2], [0.1]],
            "biases beside the input: b_ii, b_if, b_ig, b_io",
            (4, "hidden"),
        ),
        Leaf(
            "bias_hh",
            [[0.0], [0.0], [0.0], [0.0]],
            "biases beside the state: b_hi, b_hf, b_hg, b_ho",
            (4, "hidden"),
        ),
    ),
    sizes=(
        Size("T", 2, 1, 12, "time steps"),
        Size("hidden", 1, 1, 4, "numbers in the state, and in the cell"),
    ),
    forward=(
        Equation(
            "i[t]",
            "sigmoid(W_ii @ x_t[t] + b_ii + W_hi @ h[t-1] + b_hi)",
            "the input gate: how much is written",
            steps=(1, "T"),
        ),
        Equation(
            "f[t]",
            "sigmoid(W_if @ x_t[t] + b_if + W_hf @ h[t-1] + b_hf)",
            "the forget gate: how much is kept",
            steps=(1, "T"),
        ),
        Equation(
            "g[t]",
            "tanh(W_ig @ x_t[t] + b_ig + W_hg @ h[t-1] + b_hg)",
            "the candidate: what would be written",
            steps=(1, "T"),
        ),
        Equation(
            "o[t]",
            "sigmoid(W_io @ x_t[t] + b_io + W_ho @ h[t-1] + b_ho)",
            "the output gate: how much is shown",
            steps=(1, "T"),
        ),
        Equation("c[t]", "f[t] * c[t-1] + i[t] * g[t]", steps=(1, "T")),
        Equation("h[t]", "o[t] * tanh(c[t])", steps=(1, "T")),
        Equation("E", "sum(sum(0.5 * (h[t] - y_t[t])**2) for t in steps(1, T))"),
    ),
    derivation=(
        Equation("dh[T]", "diff[T]", "the last state: only its own loss"),
        Equation(
            "dh[t]",
            "diff[t] + W_hi.T @ da_i[t+1] + W_hf.T @ da_f[t+1] "
            "+ W_hg.T @ da_g[t+1] + W_ho.T @ da_o[t+1]",
            "its own loss, and the four gates of the next step",
            steps=(1, "T-1"),
        ),
        Equation("do[t]", "tanh_c[t] * dh[t]", steps=(1, "T")),
        Equation("dc[T]", "o[T] * (1 - tanh_c[T]**2) * dh[T]"),
        Equation(
            "dc[t]",
            "o[t] * (1 - tanh_c[t]**2) * dh[t] + f[t+1] * dc[t+1]",
            "the second term is the direct path: along it ∂cₜ₊₁/∂cₜ is just fₜ₊₁",
            steps=(1, "T-1"),
        ),
        Equation("df[t]", "c[t-1] * dc[t]", steps=(1, "T")),
        Equation("di[t]", "g[t] * dc[t]", steps=(1, "T")),
        Equation("dg[t]", "i[t] * dc[t]", steps=(1, "T")),
        Equation("da_i[t]", "i[t] * (1 - i[t]) * di[t]", "through the sigmoid", steps=(1, "T")),
        Equation("da_f[t]", "f[t] * (1 - f[t]) * df[t]", "through the sigmoid", steps=(1, "T")),
        Equation("da_g[t]", "(1 - g[t]**2) * dg[t]", "through the tanh", steps=(1, "T")),
        Equation("da_o[t]", "o[t] * (1 - o[t]) * do[t]", "through the sigmoid", steps=(1, "T")),
        Equation("dW_ii", "sum(outer(da_i[t], x_t[t]) for t in steps(1, T))", "one term a step"),
        Equation("dW_if", "sum(outer(da_f[t], x_t[t]) for t in steps(1, T))"),
        Equation("dW_ig", "sum(outer(da_g[t], x_t[t]) for t in steps(1, T))"),
        Equation("dW_io", "sum(outer(da_o[t], x_t[t]) for t in steps(1, T))"),
        Equation("dW_hi", "sum(outer(da_i[t], h[t-1]) for t in steps(1, T))"),
        Equation("dW_hf", "sum(outer(da_f[t], h[t-1]) for t in steps(1, T))"),
        Equation("dW_hg", "sum(outer(da_g[t], h[t-1]) for t in steps(1, T))"),
        Equation("dW_ho", "sum(outer(da_o[t], h[t-1]) for t in steps(1, T))"),
        Equation("db_ii", "sum(da_i[t] for t in steps(1, T))", "so too for f, g and o"),
        Equation("db_hi", "db_ii", "the two biases of a gate are added to the same sum"),
        Equation("dc0", "f[1] * dc[1]", "what is left on the direct path after all steps"),
        Equation(
            "dh0", "W_hi.T @ da_i[1] + W_hf.T @ da_f[1] + W_hg.T @ da_g[1] + W_ho.T @ da_o[1]"
        ),
    ),
    notes={
        "x": "Each row is read by all four gates, so its gradient is a sum of four terms.",
        "y": "It is subtracted, so each target receives −diff of its step.",
        "h0": "It reaches the loss only through the four gates of step 1.",
        "c0": "It receives dc of step 1 times f of step 1, and nothing else.",
        "weight_ih": "Torch stacks the gates' weights in the order i, f, g, o. Torch has them as "
        "one tall matrix of 4·hidden rows; here each gate is a matrix of its own.",
        "weight_hh": "The same order: i, f, g, o. Where h0 is 0, step 1 adds nothing to its "
        "gradient.",
        "bias_ih": "Each gate's bias collects that gate's da over all steps.",
        "bias_hh": "Torch keeps two biases a gate, although one would do: their gradients are "
        "always equal. The published example has one, so these start at 0.",
        "W_ii": "Its rows decide what in the input opens the input gate.",
        "W_if": "Its gradient comes through df, which is dc times the cell before: where that cell "
        "is 0, as at step 1, the forget gate learns nothing.",
        "W_ig": "These weights form what is written into the cell, the candidate g.",
        "W_io": "Its gradient comes straight from h, not by way of the cell.",
        "W_hi": "It also carries gradient back: da_i of the next step reaches h through W_hiᵀ.",
        "W_hf": "One of the four matrices that carry gradient from the gates back to h.",
        "W_hg": "A plain recurrent network has only this way back, through tanh and one matrix.",
        "W_ho": "The fourth way back from a step to the state before it.",
        "b_ii": "It is added at every step, so it collects da_i of every step.",
        "b_if": "A larger value opens the forget gate and lets more gradient through. Many begin "
        "training with 1 here.",
        "b_ig": "It collects da_g of every step.",
        "b_io": "It collects da_o of every step.",
        "b_hi": "It stands in the same sum as b_ii, so the two gradients are equal.",
        "b_hf": "It stands in the same sum as b_if, so the two gradients are equal.",
        "b_hg": "It stands in the same sum as b_ig, so the two gradients are equal.",
        "b_ho": "It stands in the same sum as b_io, so the two gradients are equal.",
        "x_t": "The input of this step goes into all four gates and hears from all four.",
        "a_i": "A sigmoid passes i·(1 − i) of the gradient, at most a quarter.",
        "a_f": "A sigmoid passes f·(1 − f): a gate that is fully open or shut hardly learns.",
        "a_g": "A tanh passes 1 − g² of the gradient.",
        "a_o": "A sigmoid passes o·(1 − o) of the gradient, at most a quarter.",
        "i": "A factor hands over the gradient times the other factor: the gate receives g · dc.",
        "f": "It receives dc times the old cell: the forget gate learns only where there was "
        "something to forget.",
        "g": "It receives i · dc: what was not let in learns nothing. Torch counts the candidate "
        "among the gates and calls it the cell gate; so there are four.",
        "o": "It receives dh times tanh(c): what it showed, or hid.",
        "kept": "What stays of the old cell. "
        "On the way back to it the gradient is multiplied by f alone.",
        "added": "What is written. A sum hands kept and added the same gradient, dc.",
        "c": "Two contributions: one from h of its step, and one from the next cell, multiplied by "
        "f. The last cell has only the first.",
        "tanh_c": "The cell can grow beyond 1; tanh brings what is shown back between −1 and 1.",
        "h": "Its own loss sends it diff; the next step sends it four terms, one for each gate.",
        "y_t": "The target of this step receives −diff.",
        "diff": "Half its square is the loss of the step, so its gradient is diff itself.",
        "J": "The losses so far, added up: each step's loss gets the gradient 1.",
        "E": "The loss of all steps together: ½ · diff², summed over steps and numbers.",
    },
    mistake=(
        "To pass on only what h sends to the cell, and to forget f ⊙ dc from the next cell. The "
        "last step's gradients are still right, those of earlier steps are not: with the published "
        "numbers dc of step 1 would be 0.0084 instead of −0.0535. With T = 1 nothing shows. The "
        "other classic is the order of the gates: libraries stack them differently, and weights "
        "copied in the wrong order give plausible numbers of a different network."
    ),
    questions=(
        Question(
            "What is ∂cₜ/∂cₜ₋₁ on the direct path, and why does that help?",
            "It is fₜ, number by number, as cₜ₋₁ is only multiplied by fₜ and then added to "
            "something. With f near 1 the product over many steps stays near 1, whereas a plain "
            "recurrent network multiplies by a matrix and by 1 − h² at each step.",
        ),
        Question(
            "At step 1 of the published example, why is the forget gate's gradient 0?",
            "Its gradient is dc[1] times the old cell, and c0 is 0: there was nothing to forget.",
        ),
        Question(
            "How many contributions does hₜ get before the last step, and from where?",
            "Five: one from its own loss, and one from each of the four gates of the next step.",
        ),
        Question(
            "Why are the gradients of bias_ih and bias_hh equal at every gate?",
            "Both are added to the same sum, and a sum hands each of its terms the same gradient. "
            "So one of the two would do.",
        ),
        Question(
            "Can the gradient of an LSTM still vanish or explode?",
            "Yes. It vanishes on the direct path where forget gates are well below 1, and the "
            "paths through the gates still multiply by the matrices W_h and can explode; that is "
            "why the gradients of LSTMs are often clipped.",
        ),
    ),
    plot=Plot("norms", "c"),
    references=(
        "PyTorch's documentation of nn.LSTMCell: the six formulas, the names of the gates and the "
        "order i, f, g, o in which the weights are stacked",
        "Aidan Gomez, 'Backpropogating an LSTM: A Numerical Example' (2016): its weights, inputs "
        "and labels. States 0.78572 and 1.5176, outputs 0.53631 and 0.77197; there g is called a, "
        "the cell state is called state, and h is called out",
        "Hochreiter and Schmidhuber, 'Long Short-Term Memory', Neural Computation 9 (1997); "
        "Gers, Schmidhuber and Cummins, 'Learning to Forget' (2000), for the forget gate",
    ),
)
