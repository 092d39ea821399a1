"""How large a gradient still is after T steps back through time."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question, Size


def program(xp: Any, h0: Any, scale: Any, W: Any, w_y: Any, *, T: int) -> Any:
    W_h = scale * W
    h = h0
    for t in range(1, T + 1):
        z = W_h @ h
        h = xp.tanh(z)
    y = w_y @ h
    return y


LESSON = Lesson(
    id="vanishing",
    title="Vanishing and exploding gradients",
    chapter="Recurrence",
    order=760,
    idea=(
        "Only the last state is used for the output, and the question is how much of its gradient "
        "is left at the first. Each step back multiplies the gradient by the same matrix W_h and "
        "by the slopes 1 − h² of tanh. Thirty such factors make almost nothing of it, or something "
        "huge. Look at the plot: the size of the gradient at each time step, in powers of ten. "
        "Then change scale, which multiplies the whole matrix: at 0.5 the gradient vanishes, at 1 "
        "it shrinks only slowly, at 1.5 it explodes, and at 3 it vanishes again, for another "
        "reason."
    ),
    after=("tanh-recursion", "rnn"),
    minutes=10,
    program=program,
    leaves=(
        Leaf("h0", [4e-6, -3e-6, 2e-6], "the state at the beginning, close to 0"),
        Leaf("scale", 0.5, "what the recurrent matrix is multiplied by: try 1, 1.5 and 3"),
        Leaf(
            "W",
            [[-0.2, 0.3, 1.0], [0.3, 0.6, 0.9], [0.1, 0.1, 0.4]],
            "the matrix before scaling",
        ),
        Leaf("w_y", [1.0, -0.5, 0.8], "weights of the output"),
    ),
    sizes=(Size("T", 30, 1, 50, "time steps"),),
    forward=(
        Equation("W_h", "scale * W"),
        Equation("z[t]", "W_h @ h[t-1]", steps=(1, "T")),
        Equation("h[t]", "tanh(z[t])", steps=(1, "T")),
        Equation("y", "w_y @ h[T]"),
    ),
    derivation=(
        Equation("dh[T]", "w_y", "here the way back begins"),
        Equation("dz[t]", "(1 - h[t]**2) * dh[t]", "through tanh", steps=(1, "T")),
        Equation("dh[t-1]", "W_h.T @ dz[t]", "through the matrix", steps=(1, "T")),
        Equation(
            "dh[t-1]",
            "(diag(1 - h[t]**2) @ W_h).T @ dh[t]",
            "both at once: the Jacobian of a step, ∂hₜ/∂hₜ₋₁ = diag(1 − hₜ²) @ W_h, transposed",
            steps=(1, "T"),
        ),
        Equation(
            "dh[t-2]",
            "(diag(1 - h[t]**2) @ W_h @ diag(1 - h[t-1]**2) @ W_h).T @ dh[t]",
            "two steps: the product of two Jacobians; from the last to the first it has T factors",
            steps=(2, "T"),
        ),
        Equation("dW_h", "sum(outer(dz[t], h[t-1]) for t in steps(1, T))"),
        Equation("dscale", "sum(W * dW_h)"),
        Equation("dW", "scale * dW_h"),
        Equation("dw_y", "h[T]"),
    ),
    notes={
        "h0": "Compare the size of its gradient with that of the last state: this is what T "
        "Jacobians have made of it. It starts close to 0, where tanh is steepest; with 0.4, −0.3 "
        "and 0.2 nothing explodes any more.",
        "scale": "It multiplies every number in W, so its gradient is the sum of W ⊙ dW_h. "
        "Try 0.5, 1, 1.5 and 3, and look at the plot each time.",
        "W": "Its norm 1.544 is the most by which it can lengthen any vector. Its largest "
        "eigenvalue is 0.974: near h = 0 a step changes lengths, in the long run, by that factor "
        "times scale.",
        "w_y": "The gradient of the last state is w_y itself; all others are made of it.",
        "W_h": "One matrix for all steps: the same factor again and again is what makes the "
        "gradient grow or shrink like a power.",
        "z": "Passing back through tanh multiplies each number by 1 − h², which is at most 1: "
        "tanh alone can never make a gradient explode.",
        "h": "Its gradient is that of the next state, multiplied by the transposed of "
        "diag(1 − h²) @ W_h, with the h of the next step. Near 0 the slope 1 − h² lets all of it "
        "through, near ±1 hardly any.",
        "y": "It depends on the last state alone, so all that an earlier state hears has come "
        "through every step after it.",
    },
    mistake=(
        "To conclude from a small gradient that what happened early does not matter. A vanished "
        "gradient says only that a small change there would hardly show in the output of this "
        "network as it is now; so training cannot find out what it could be used for. The opposite "
        "shows at once: an exploding gradient makes one update throw the weights far away. "
        "Clipping the norm helps against that, and does nothing for a gradient that has vanished."
    ),
    questions=(
        Question(
            "Why can one step back lengthen the gradient by no more than |W_h| · max(1 − h²)?",
            "The step is W_hᵀ @ (diag(1 − h²) @ dh). The diagonal lengthens a vector at most by "
            "its largest number, the matrix at most by its norm |W_h|: the largest singular value, "
            "the same for the transposed.",
        ),
        Question(
            "Why must the gradient vanish at scale 0.5, whatever h0 and w_y are?",
            "|W_h| is 0.5 · 1.544 = 0.77 and 1 − h² is at most 1, so each step shrinks the "
            "gradient at least to 77 percent. In the long run it shrinks faster, to 0.5 · 0.974 = "
            "0.49 a step, as the states are near 0 and W_h acts alone.",
        ),
        Question(
            "At which scales can it explode?",
            "It needs |W_h| above 1, so a scale above 1 / 1.544 = 0.65; that is necessary, not "
            "sufficient. Near h = 0 it grows in the long run if the eigenvalue of W_h is above 1, "
            "so from about 1 / 0.974 = 1.03 on, as long as the states stay small.",
        ),
        Question(
            "Why does it vanish at scale 3, although W_h is larger than at 1.5?",
            "After about a dozen steps the states have grown close to ±1, where tanh is flat: "
            "1 − h² is nearly 0 there and outweighs the large matrix. In the plot the gradient "
            "grows towards the first steps, where the states are still small, but too late.",
        ),
        Question(
            "What becomes of the gradient of h0 at scale 0.5 if there are twice as many steps?",
            "Each further step multiplies it by about 0.49, so twenty more by 6 · 10⁻⁷: its size "
            "is 1.4 · 10⁻⁷ with 20 steps, and 8 · 10⁻¹⁴ with 40.",
        ),
    ),
    plot=Plot("norms", "h"),
    references=(
        "Hochreiter, 'Untersuchungen zu dynamischen neuronalen Netzen', diploma thesis, Technische "
        "Universität München (1991), who first described the problem",
        "Bengio, Simard and Frasconi, 'Learning Long-Term Dependencies with Gradient Descent is "
        "Difficult', IEEE Transactions on Neural Networks 5 (1994)",
        "Pascanu, Mikolov and Bengio, 'On the difficulty of training recurrent neural networks', "
        "ICML 2013, arXiv 1211.5063: the product of Jacobians, its bound, and clipping of the "
        "norm; the numbers here are our own",
    ),
)
