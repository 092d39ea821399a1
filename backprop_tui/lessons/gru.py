"""A GRU cell, step by step: the new state lies between the old one and a candidate."""

from typing import Any

from backprop_tui.lessons.base import AtLeast, Equation, Leaf, Lesson, Plot, Question, Size


def program(
    xp: Any,
    x: Any,
    y: Any,
    h0: Any,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Any,
    bias_hh: Any,
    *,
    T: int,
    hidden: int,
) -> Any:
    # Torch stacks the three in this order: r, z, n.
    W_ir = weight_ih[0]
    W_iz = weight_ih[1]
    W_in = weight_ih[2]
    W_hr = weight_hh[0]
    W_hz = weight_hh[1]
    W_hn = weight_hh[2]
    b_ir = bias_ih[0]
    b_iz = bias_ih[1]
    b_in = bias_ih[2]
    b_hr = bias_hh[0]
    b_hz = bias_hh[1]
    b_hn = bias_hh[2]
    h, J = h0, 0.0
    for t in range(1, T + 1):
        x_t = x[t - 1]
        a_r = W_ir @ x_t + b_ir + W_hr @ h + b_hr
        a_z = W_iz @ x_t + b_iz + W_hz @ h + b_hz
        r = xp.sigmoid(a_r)
        z = xp.sigmoid(a_z)
        m = W_hn @ h + b_hn
        a_n = W_in @ x_t + b_in + r * m
        n = xp.tanh(a_n)
        fresh = (1 - z) * n
        kept = z * h
        h = fresh + kept
        y_t = y[t - 1]
        diff = h - y_t
        J = J + 0.5 * diff**2
    E = xp.sum(J)
    return E


LESSON = Lesson(
    id="gru",
    title="A GRU",
    chapter="Recurrence",
    order=780,
    idea=(
        "A GRU has one state, a candidate and two gates, where an LSTM has two states, a candidate "
        "and three gates. It first makes a candidate n; the reset gate r says how much the old "
        "state has to say in it. Then the update gate z mixes: the new state is (1 − z) ⊙ n + z ⊙ "
        "h, number by number somewhere between the candidate and the old state. Going back, the "
        "direct path from a state to the one before it multiplies the gradient by z and by nothing "
        "else: where z is near 1 the state is copied, and so is the gradient."
    ),
    after=("rnn", "lstm"),
    minutes=12,
    program=program,
    leaves=(
        Leaf(
            "x",
            [[0.5, -1.2], [1.4, 0.3], [-0.8, 0.9]],
            "the inputs, a row a step",
            (AtLeast("T"), 2),
        ),
        Leaf(
            "y",
            [[0.4, -0.3], [0.7, 0.2], [-0.1, 0.6]],
            "the targets of h, a row a step",
            (AtLeast("T"), "hidden"),
        ),
        Leaf("h0", [0.3, -0.2], "the state at the beginning", ("hidden",)),
        Leaf(
            "weight_ih",
            [
                [[0.52, -0.31], [0.17, 0.44]],
                [[-0.26, 0.63], [0.38, -0.15]],
                [[0.71, 0.22], [-0.47, 0.59]],
            ],
            "weights of the input: W_ir, W_iz, W_in",
            (3, "hidden", 2),
        ),
        Leaf(
            "weight_hh",
            [
                [[0.34, -0.58], [0.21, 0.66]],
                [[0.45, 0.13], [-0.29, 0.37]],
                [[-0.62, 0.81], [0.54, 0.28]],
            ],
            "weights of the state: W_hr, W_hz, W_hn",
            (3, "hidden", "hidden"),
        ),
        Leaf(
            "bias_ih",
            [[0.12, -0.08], [0.6, 0.9], [0.05, -0.14]],
            "biases beside the input: b_ir, b_iz, b_in",
            (3, "hidden"),
        ),
        Leaf(
            "bias_hh",
            [[-0.06, 0.11], [0.2, -0.17], [0.23, 0.31]],
            "biases beside the state: b_hr, b_hz, b_hn",
            (3, "hidden"),
        ),
    ),
    sizes=(
        Size("T", 3, 1, 12, "time steps"),
        Size("hidden", 2, 1, 4, "numbers in the state"),
    ),
    forward=(
        Equation(
            "r[t]",
            "sigmoid(W_ir @ x_t[t] + b_ir + W_hr @ h[t-1] + b_hr)",
            "the reset gate: how much the old state has to say in the candidate",
            steps=(1, "T"),
        ),
        Equation(
            "z[t]",
            "sigmoid(W_iz @ x_t[t] + b_iz + W_hz @ h[t-1] + b_hz)",
            "the update gate: how much of the old state stays",
            steps=(1, "T"),
        ),
        Equation(
            "n[t]",
            "tanh(W_in @ x_t[t] + b_in + r[t] * (W_hn @ h[t-1] + b_hn))",
            "the candidate; r multiplies after the matrix, and the bias b_hn with it",
            steps=(1, "T"),
        ),
        Equation("h[t]", "(1 - z[t]) * n[t] + z[t] * h[t-1]", steps=(1, "T")),
        Equation("E", "sum(sum(0.5 * (h[t] - y_t[t])**2) for t in steps(1, T))"),
    ),
    derivation=(
        Equation("dh[T]", "diff[T]", "the last state: only its own loss"),
        Equation(
            "dh[t]",
            "diff[t] + z[t+1] * dh[t+1] + W_hr.T @ da_r[t+1] + W_hz.T @ da_z[t+1] "
            "+ W_hn.T @ dm[t+1]",
            "its own loss, the direct path, and three ways through the next step's matrices",
            steps=(1, "T-1"),
        ),
        Equation("dn[t]", "(1 - z[t]) * dh[t]", steps=(1, "T")),
        Equation(
            "dz[t]",
            "(h[t-1] - n[t]) * dh[t]",
            "+ where it multiplies h, − where 1 − z multiplies n",
            steps=(1, "T"),
        ),
        Equation("da_n[t]", "(1 - n[t]**2) * dn[t]", "through the tanh", steps=(1, "T")),
        Equation("dr[t]", "m[t] * da_n[t]", "m = W_hn @ h + b_hn", steps=(1, "T")),
        Equation("dm[t]", "r[t] * da_n[t]", steps=(1, "T")),
        Equation("da_r[t]", "r[t] * (1 - r[t]) * dr[t]", "through the sigmoid", steps=(1, "T")),
        Equation("da_z[t]", "z[t] * (1 - z[t]) * dz[t]", "through the sigmoid", steps=(1, "T")),
        Equation("dW_ir", "sum(outer(da_r[t], x_t[t]) for t in steps(1, T))", "one term a step"),
        Equation("dW_iz", "sum(outer(da_z[t], x_t[t]) for t in steps(1, T))"),
        Equation("dW_in", "sum(outer(da_n[t], x_t[t]) for t in steps(1, T))"),
        Equation("dW_hr", "sum(outer(da_r[t], h[t-1]) for t in steps(1, T))"),
        Equation("dW_hz", "sum(outer(da_z[t], h[t-1]) for t in steps(1, T))"),
        Equation(
            "dW_hn", "sum(outer(dm[t], h[t-1]) for t in steps(1, T))", "dm, since r is in between"
        ),
        Equation("db_ir", "sum(da_r[t] for t in steps(1, T))"),
        Equation("db_hr", "db_ir", "both are added to the same sum"),
        Equation("db_iz", "sum(da_z[t] for t in steps(1, T))"),
        Equation("db_hz", "db_iz", "both are added to the same sum"),
        Equation("db_in", "sum(da_n[t] for t in steps(1, T))"),
        Equation("db_hn", "sum(r[t] * da_n[t] for t in steps(1, T))", "not db_in: r is in between"),
        Equation("dh0", "z[1] * dh[1] + W_hr.T @ da_r[1] + W_hz.T @ da_z[1] + W_hn.T @ dm[1]"),
    ),
    notes={
        "x": "Each row is read by both gates and by the candidate: three terms.",
        "y": "It is subtracted, so each target receives −diff of its step.",
        "h0": "Four ways lead from it into step 1: the direct one through z, and three matrices.",
        "weight_ih": "Torch stacks them in the order r, z, n. Torch has them as one tall matrix of "
        "3·hidden rows; here each is a matrix of its own.",
        "weight_hh": "The same order: r, z, n.",
        "bias_ih": "For r and z these have the same gradients as bias_hh; for n they differ.",
        "bias_hh": "Its last row is b_hn, the only bias that the reset gate can silence.",
        "W_ir": "It hears only by way of r, and so only as far as m is not 0.",
        "W_iz": "Its gradient comes from the difference between old state and candidate.",
        "W_in": "What of the input goes into the candidate.",
        "W_hr": "One of the three matrices through which gradient comes back to h.",
        "W_hz": "One of the three matrices through which gradient comes back to h.",
        "W_hn": "Its terms are weighed by r: a shut reset gate lets nothing come back through it.",
        "b_ir": "It collects da_r of every step.",
        "b_iz": "With a large value here z is near 1: the state is copied and gradient passes.",
        "b_in": "It is added outside of r's brackets, so it collects da_n as it is.",
        "b_hr": "It stands in the same sum as b_ir, so the two gradients are equal.",
        "b_hz": "It stands in the same sum as b_iz, so the two gradients are equal.",
        "b_hn": "It stands inside of r's brackets, so it collects r ⊙ da_n: here the second "
        "bias is not a mere copy of the first.",
        "x_t": "The input of this step goes three ways and hears from all three.",
        "a_r": "A sigmoid passes r·(1 − r) of the gradient, at most a quarter.",
        "a_z": "A sigmoid passes z·(1 − z) of the gradient, at most a quarter.",
        "a_n": "A tanh passes 1 − n² of the gradient.",
        "r": "It receives da_n times m: what the old state would say decides how much the "
        "gate matters.",
        "z": "Two contributions: from kept the old h times dh, and from 1 − z, −n · dh. "
        "Where old state and candidate are equal they cancel.",
        "m": "What the old state has to say in the candidate; r decides how much of it is heard, "
        "and how much gradient comes back.",
        "n": "It receives (1 − z) · dh: where the old state is kept, the candidate learns nothing.",
        "fresh": "The candidate's share. A sum hands fresh and kept the same gradient, dh.",
        "kept": "The old state's share. Passing back to the old state multiplies by z alone.",
        "h": "Five contributions before the last step: its own loss, the direct path through z, "
        "and three matrices.",
        "y_t": "The target of this step receives −diff.",
        "diff": "Half its square is the loss of the step, so its gradient is diff itself.",
        "J": "The losses so far, added up: each step's loss gets the gradient 1.",
        "E": "The loss of all steps together: ½ · diff², summed over steps and numbers.",
    },
    mistake=(
        "To multiply h by r before the matrix, W_hn @ (r ⊙ h), as the first paper does, and to "
        "compare with torch, which multiplies after it, r ⊙ (W_hn @ h + b_hn). Both are called "
        "GRU, all shapes fit, and both learn; but the numbers differ, first in n. The other slip "
        "is to exchange the roles of z and 1 − z, which papers do either way."
    ),
    questions=(
        Question(
            "What does the direct path from hₜ to hₜ₋₁ multiply the gradient by?",
            "By zₜ, number by number, because hₜ contains zₜ ⊙ hₜ₋₁. With z near 1 the state is "
            "copied forward and the gradient is copied back.",
        ),
        Question(
            "Why is dz[t] the difference h[t−1] − n[t] times dh[t]?",
            "z multiplies the old state, and 1 − z multiplies the candidate: the first use gives "
            "h · dh, the second −n · dh. Where the two are equal it does not matter how they are "
            "mixed, and the gradient is 0.",
        ),
        Question(
            "The gradients of b_ir and b_hr are equal; why are those of b_in and b_hn not?",
            "b_ir and b_hr are added to the same sum. b_hn is first multiplied by r, so it "
            "receives r ⊙ da_n, while b_in receives da_n.",
        ),
        Question(
            "What can the reset gate do that the update gate cannot?",
            "With r at 0 the candidate is formed as if there were no past, while z still decides "
            "whether that candidate replaces the state.",
        ),
    ),
    plot=Plot("norms", "h"),
    references=(
        "PyTorch's documentation of nn.GRUCell: the four formulas, the names r, z, n and the order "
        "in which the weights are stacked; the numbers here are our own",
        "Cho and others, 'Learning Phrase Representations using RNN Encoder–Decoder for "
        "Statistical Machine Translation', arXiv 1406.1078 (2014): the first GRU, with r before "
        "the matrix",
    ),
)
