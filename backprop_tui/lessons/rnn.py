"""A recurrent network: x → h → ŷ at every step, one squared loss over all of them."""

from typing import Any

from backprop_tui.lessons.base import AtLeast, Equation, Leaf, Lesson, Plot, Question, Size


def program(
    xp: Any,
    x: Any,
    y: Any,
    h0: Any,
    W_x: Any,
    b_x: Any,
    W_h: Any,
    b_h: Any,
    W_y: Any,
    b_y: Any,
    *,
    T: int,
    hidden: int,
) -> Any:
    h, J = h0, 0.0
    for t in range(1, T + 1):
        x_t = x[t - 1]
        z_x = x_t @ W_x.T + b_x
        z_h = h @ W_h.T + b_h
        z = z_x + z_h
        h = xp.tanh(z)
        y_hat = h @ W_y.T + b_y
        y_t = y[t - 1]
        diff = y_t - y_hat
        J = J + diff**2
    L = xp.sum(J)
    return L


LESSON = Lesson(
    id="rnn",
    title="A recurrent network",
    chapter="Recurrence",
    order=730,
    after=("tanh-recursion", "matrix-linear"),
    minutes=12,
    idea=(
        "At every time step the network reads an input, mixes it with its state, and makes a "
        "prediction; the losses of all steps are added up. In the backward pass a state receives "
        "gradient from two sides: from its own prediction, and from the next step. Each weight is "
        "used at every step, so each of dW_x, dW_h, dW_y and each bias gets one term a step. "
        "Forget to add one up and it stays 0, as db_x does in the notebook's by-hand pass: "
        "b_x and b_h are added to the same sum, so their gradients must be equal."
    ),
    program=program,
    leaves=(
        Leaf("x", [[1.0], [2.0], [3.0]], "the inputs, a row a step", (AtLeast("T"), 1)),
        Leaf("y", [[5.0], [10.0], [15.0]], "the targets, a row a step", (AtLeast("T"), 1)),
        Leaf("h0", [0.0, 0.0, 0.0], "the state at the beginning", ("hidden",)),
        Leaf("W_x", [[0.31], [-0.47], [0.62]], "weights of the input", ("hidden", 1)),
        Leaf("b_x", [0.12, -0.25, 0.08], "bias of the input", ("hidden",)),
        Leaf(
            "W_h",
            [[0.45, -0.22, 0.17], [0.28, 0.36, -0.41], [-0.13, 0.52, 0.24]],
            "weights of the state",
            ("hidden", "hidden"),
        ),
        Leaf("b_h", [-0.07, 0.19, 0.33], "bias of the state", ("hidden",)),
        Leaf("W_y", [[0.56, -0.38, 0.71]], "weights of the prediction", (1, "hidden")),
        Leaf("b_y", [0.15], "bias of the prediction"),
    ),
    sizes=(
        Size("T", 2, 1, 50, "time steps"),
        Size("hidden", 3, 1, 8, "numbers in the state"),
    ),
    forward=(
        Equation("z_x[t]", "x_t[t] @ W_x.T + b_x", steps=(1, "T")),
        Equation("z_h[t]", "h[t-1] @ W_h.T + b_h", steps=(1, "T")),
        Equation("h[t]", "tanh(z_x[t] + z_h[t])", steps=(1, "T")),
        Equation("y_hat[t]", "h[t] @ W_y.T + b_y", steps=(1, "T")),
        Equation("diff[t]", "y_t[t] - y_hat[t]", steps=(1, "T")),
        Equation("L", "sum(diff[t]**2 for t in steps(1, T))"),
    ),
    derivation=(
        Equation("dy_hat[t]", "-2 * diff[t]", "− because y_hat is subtracted", steps=(1, "T")),
        Equation("dh[T]", "dy_hat[T] @ W_y", "the last state: only its prediction"),
        Equation(
            "dh[t]",
            "dy_hat[t] @ W_y + dz[t+1] @ W_h",
            "from its prediction, and from the next step",
            steps=(1, "T-1"),
        ),
        Equation("dz[t]", "(1 - h[t]**2) * dh[t]", "through tanh", steps=(1, "T")),
        Equation("dW_y", "sum(outer(dy_hat[t], h[t]) for t in steps(1, T))"),
        Equation("db_y", "sum(dy_hat[t] for t in steps(1, T))"),
        Equation("dW_h", "sum(outer(dz[t], h[t-1]) for t in steps(1, T))"),
        Equation("db_h", "sum(dz[t] for t in steps(1, T))"),
        Equation("dW_x", "sum(outer(dz[t], x_t[t]) for t in steps(1, T))"),
        Equation("db_x", "sum(dz[t] for t in steps(1, T))", "the same sum as for b_h"),
        Equation("dh0", "dz[1] @ W_h"),
    ),
    notes={
        "x": "Data has a gradient too. A row that no step has read gets 0.",
        "y": "The loss falls when the target moves towards the prediction.",
        "h": "It goes two ways, into its prediction and into the next step, "
        "so it receives two contributions; the last state only one.",
        "z": "Passing tanh multiplies by 1 − h²: a state near ±1 lets little gradient through.",
        "z_x": "A sum hands both sides the same gradient, so z_x and z_h get equal ones.",
        "z_h": "A sum hands both sides the same gradient, so z_x and z_h get equal ones.",
        "W_h": "Every step uses W_h, so every step adds a term: dz of the step times the state "
        "before it. At step 1 that state is h0: where it is 0, so is the term.",
        "W_x": "Every step adds dz of the step times its input.",
        "W_y": "Every step adds the prediction's gradient times the state.",
        "b_x": "It is added at every step, so it collects dz of every step. "
        "The notebook forgot to add these up and prints 0.",
        "b_h": "It is added in the same sum as b_x, so its gradient must be the same.",
        "b_y": "It collects −2·diff of every step.",
        "diff": "Its gradient is twice itself; the prediction, which is subtracted, "
        "receives −2·diff.",
        "h0": "It receives what is left after all steps.",
        "x_t": "The row of x that this step reads: what it receives is that row of dx.",
        "y_t": "The target of this step: it receives 2·diff, and the prediction the opposite.",
        "y_hat": (
            "It is subtracted, so it receives −2·diff: where the prediction is too small, the "
            "loss falls when it grows."
        ),
        "J": (
            "The losses of all steps so far. A running sum hands what it received to this step's "
            "square and to the sum before it, so every step gets the same."
        ),
        "L": "Every prediction of every step counts in this one number, whose gradient is 1.",
    },
    mistake=(
        "Not adding up over the steps, as with db_x in the notebook's by-hand pass, which stays "
        "0. No torch is needed to find it: b_x and b_h are added to the same sum, so their "
        "gradients must be equal. The next in line is to multiply dz[t] with the state h[t] "
        "instead of the one before it."
    ),
    questions=(
        Question(
            "Why must db_x and db_h be equal?",
            (
                "Both are added to the same sum z at every step, so at every step both receive "
                "dz[t], and both collect the same terms."
            ),
        ),
        Question(
            "T is 2. From where do h₁ and h₂ receive gradient?",
            (
                "h₂ from its own prediction only. h₁ from its prediction and from step 2, which "
                "computed with it; the two contributions are added."
            ),
        ),
        Question(
            "Why is the term of step 1 in dW_h zero with these numbers?",
            (
                "It is dz₁ times the state before it, and that is h0 = 0. So here all of dW_h "
                "comes from the later steps."
            ),
        ),
        Question(
            "With T = 2 the third row of x has the gradient 0. Why?",
            "No step has read it, so the loss does not depend on it.",
        ),
        Question(
            "Which weights would still receive gradient if W_y were 0?",
            (
                "W_y and b_y only, both at the prediction: all that reaches the states goes "
                "through W_y, and times 0 nothing is left."
            ),
        ),
    ),
    plot=Plot("norms", "h"),
    references=(
        "The notebook, In [26] and [27]: the weights there were random; what must hold is "
        "L = Σ diff², db_y = −2·Σ diff and db_h = db_x",
        "The notebook's mistake: its by-hand pass never accumulates dB_x and prints 0",
    ),
)
