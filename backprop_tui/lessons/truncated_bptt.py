"""The same network twice: once with its whole gradient, once cut every k steps."""

from typing import Any

from backprop_tui.lessons.base import AtLeast, Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, x: Any, y: Any, h0: Any, w: Any, *, T: int, k: int) -> Any:
    w_full = 1 * w
    w_cut = 1 * w
    h, h_cut = h0, h0
    L_full, L_cut = 0.0, 0.0
    for t in range(1, T + 1):
        x_t = x[t - 1]
        y_t = y[t - 1]

        z = w_full * h + x_t
        h = xp.tanh(z)
        diff = h - y_t
        L_full = L_full + diff**2

        before = h_cut
        if t > 1 and (t - 1) % k == 0:
            before = h_cut.detach()
        z_cut = w_cut * before + x_t
        h_cut = xp.tanh(z_cut)
        diff_cut = h_cut - y_t
        L_cut = L_cut + diff_cut**2
    L = L_full + L_cut
    return L


LESSON = Lesson(
    id="truncated-bptt",
    title="Truncated backpropagation through time",
    chapter="Recurrence",
    order=750,
    idea=(
        "A text of a million characters is a graph of a million steps, too long to go back "
        "through. So it is cut into pieces of k steps: the state is handed over from piece to "
        "piece as a plain number, detached from how it came about. Every value stays the same, but "
        "no gradient crosses a cut. Here the same network runs twice with the same weight: the "
        "first with its whole gradient, the second cut every k steps. Compare the gradients of "
        "w_full and w_cut: the difference is what truncating loses. With k = T nothing is cut and "
        "they are equal."
    ),
    after=("tanh-recursion", "rnn"),
    minutes=10,
    program=program,
    leaves=(
        Leaf("x", [0.8, -0.3, 0.2, 0.5, -0.4, 0.1], "the inputs, one a step", (AtLeast("T"),)),
        Leaf("y", [0.5, 0.2, -0.1, 0.6, 0.3, -0.2], "the targets, one a step", (AtLeast("T"),)),
        Leaf("h0", 0.2, "the state at the beginning"),
        Leaf("w", 0.9, "the recurrent weight, the same in both networks"),
    ),
    sizes=(
        Size("T", 6, 1, 12, "time steps"),
        Size("k", 2, 1, 12, "steps in a piece: after each k, the gradient is cut"),
    ),
    forward=(
        Equation("h[t]", "tanh(w_full * h[t-1] + x_t[t])", steps=(1, "T")),
        Equation("h_cut[t]", "h[t]", "a cut changes no value", steps=(1, "T")),
        Equation("L_full[T]", "sum((h[t] - y_t[t])**2 for t in steps(1, T))"),
        Equation("L_cut[T]", "L_full[T]"),
        Equation("L", "L_full[T] + L_cut[T]"),
    ),
    derivation=(
        Equation("dh[T]", "2 * diff[T]", "the last state: only its own loss"),
        Equation(
            "dh[t]",
            "2 * diff[t] + w_full * dz[t+1]",
            "from its own loss, and from the next step",
            steps=(1, "T-1"),
        ),
        Equation("dz[t]", "(1 - h[t]**2) * dh[t]", "through tanh", steps=(1, "T")),
        Equation("dw_full", "sum(h[t-1] * dz[t] for t in steps(1, T))", "the whole gradient"),
        Equation("dh_cut[T]", "2 * diff_cut[T]"),
        Equation(
            "dh_cut[t]",
            "2 * diff_cut[t] + (t % k != 0) * w_cut * dz_cut[t+1]",
            "the brackets are 0 at the end of a piece: nothing comes from the next step",
            steps=(1, "T-1"),
        ),
        Equation("dz_cut[t]", "(1 - h[t]**2) * dh_cut[t]", "through tanh", steps=(1, "T")),
        Equation(
            "dw_cut", "sum(h[t-1] * dz_cut[t] for t in steps(1, T))", "as many terms as dw_full"
        ),
        Equation(
            "dw_full - dw_cut",
            "sum(h[t-1] * (dz[t] - dz_cut[t]) for t in steps(1, T))",
            "what is lost: at each step, what later pieces had to say to it",
        ),
        Equation("dw", "dw_full + dw_cut", "only because both networks are shown at once"),
    ),
    notes={
        "x": "Each input is read by both networks and hears from both; one that no step reads gets "
        "0.",
        "y": "Each target is subtracted in both networks, so it receives −2·diff twice.",
        "h0": "The whole gradient reaches it from all losses; the cut one only from those of the "
        "first piece.",
        "w": "It hears from both networks, and adds up: look at w_full and w_cut for each alone.",
        "w_full": "The weight of the network that is not cut: its gradient is the true one.",
        "w_cut": "The weight of the network that is cut. It has a term for every step, too; but in "
        "each term everything after the end of its piece is missing.",
        "x_t": "The input of this step, for both networks.",
        "y_t": "The target of this step, for both networks.",
        "z": "Passing tanh multiplies the gradient by 1 − h².",
        "h": "It hears from its own loss and from the next step, and so from all later losses.",
        "diff": "How far the state is from its target; its gradient is twice itself.",
        "L_full": "The losses so far, of the network that is not cut.",
        "before": "The state, detached: the same number, but nothing goes back through it. "
        "This is the cut.",
        "z_cut": "The same number as z. Its gradient is the same only if no cut lies ahead.",
        "h_cut": "At the end of a piece it hears from its own loss alone; elsewhere also from the "
        "next step, as far as the piece goes.",
        "diff_cut": "The same number as diff: a cut changes no value.",
        "L_cut": "The losses so far, of the network that is cut: always equal to L_full.",
        "L": "Both losses together, so that both gradients are seen in one run.",
    },
    mistake=(
        "To forget detach when the state is carried from one piece to the next. Then the second "
        "backward goes on into the graph of the first, which torch has freed: it stops with the "
        "message that one tries to backward through the graph a second time. With retain_graph it "
        "runs, but each piece goes back through all the earlier ones and takes longer than the "
        "last. The opposite mistake is silent: to start each piece with zeros, which throws away "
        "not only the gradient but the memory itself."
    ),
    questions=(
        Question(
            "Which values change when the gradient is cut?",
            "None. detach hands on the same number, so states and losses stay as they were; only "
            "gradients change.",
        ),
        Question(
            "How many steps back can the gradient of a loss reach with pieces of k steps?",
            "To the beginning of its own piece: the loss at the end of a piece reaches all k of "
            "its steps, the loss at the beginning of a piece only its own step.",
        ),
        Question(
            "With k = 1, what is left of the gradient of the weight?",
            "The sum of h[t−1] · (1 − h[t]²) · 2 · diff[t]: at each step only the direct effect "
            "on its own loss, as if the state before it were a given input.",
        ),
        Question(
            "Does a larger k always bring the truncated gradient closer to the whole one?",
            "No. Here k = 3 gives 2.12, k = 4 gives 2.07 and k = 5 only 1.45, beside 2.41 uncut: "
            "what counts is which connections a cut falls on. But once k reaches T it is exact.",
        ),
        Question(
            "Can a network trained in this way learn something that takes longer than k steps?",
            "It can carry it, as the state is handed on, but no gradient ever tells it to: what a "
            "step does, through the state, to a loss in a later piece is never counted.",
        ),
        Question(
            "Why does the finite difference agree with a gradient from which a part is missing?",
            "Because it holds each detached number at what it was. If the state were allowed to "
            "follow the nudged weight, it would show the whole gradient.",
        ),
    ),
    plot=Plot("norms", "h_cut"),
    references=(
        "Williams and Peng, 'An Efficient Gradient-Based Algorithm for On-Line Training of "
        "Recurrent Network Trajectories', Neural Computation 2 (1990), for the truncation",
        "Andrej Karpathy, min-char-rnn.py (2015): hprev, the last state of a piece, is handed to "
        "the next as a plain number",
        "PyTorch's documentation of Tensor.detach; the numbers here are our own",
    ),
)
