"""Leaves, kept and added-up gradients, detach, no_grad: what torch does around the chain rule."""

from dataclasses import replace
from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question
from backprop_tui.lessons.script import Raises, Script, Statement, Sum, TensorState


def program(xp: Any, w: Any, x: Any) -> Any:
    z = w * x
    L = z**2
    return L


# ── the script: every number worked out by hand ───────────────────────────────────────────────

LR = 0.125  # the learning rate: like the others a number that float32 represents exactly
W, X = 3.0, 2.0
Z = W * X
L = Z**2
DZ = 2 * Z  # ∂L/∂z
DW = DZ * X  # ∂L/∂w: by z = w·x, the gradient of z times x
DW_DETACHED = Z  # ∂M/∂w of M = w·d with the constant d = z
W_UPDATED = W - LR * DW_DETACHED

w1 = TensorState(
    value=W, is_leaf=True, requires_grad=True, retains_grad=False, grad=None, grad_fn=None, made=1
)
x2 = replace(w1, value=X, requires_grad=False, made=2)
z3 = TensorState(
    value=Z, is_leaf=False, requires_grad=True, retains_grad=False, grad=None,
    grad_fn="MulBackward0", made=3,
)  # fmt: skip
L4 = replace(z3, value=L, grad_fn="PowBackward0", made=4)
z7 = replace(z3, made=7)
z7_retaining = replace(z7, retains_grad=True)
w_updated = replace(w1, value=W_UPDATED, grad=DW_DETACHED)

SCRIPT = Script(
    intro=(
        "Twenty statements of plain torch code. Step through them, and after each one the table "
        "says what every tensor's state is: as predicted by hand, and as torch itself reports it "
        "when it runs the statement. Before you press →, try to predict it yourself."
    ),
    statements=(
        Statement(
            "w = torch.tensor(3.0, requires_grad=True)",
            "You made w yourself, so it is a leaf, and it asks for a gradient. Its grad is None "
            "and not 0: nothing has arrived yet.",
            {"w": w1},
        ),
        Statement(
            "x = torch.tensor(2.0)",
            "Also a leaf, but it asks for no gradient, as data usually doesn't. Whether a tensor "
            "is a leaf and whether it requires a gradient are two different questions.",
            {"x": x2},
        ),
        Statement(
            "z = w * x",
            "One operand requires a gradient, so the result does too. z was computed from it, so "
            "z is no leaf: its grad_fn is the node of autograd's graph that will send a gradient "
            "on to w. To x nothing will be sent.",
            {"z": z3},
            (Sum("z", "w * x"),),
        ),
        Statement(
            "L = z ** 2",
            "The graph has grown by a node. Each operation that a gradient can come through leaves "
            "one behind, and with it whatever its rule will need: the square has saved z.",
            {"L": L4},
            (Sum("L", "z**2"),),
        ),
        Statement(
            "L.backward()",
            "The gradient has come all the way to w, the only leaf that asked for one. It came "
            "through z, and yet z.grad is None: autograd passes a non-leaf's gradient on and then "
            "throws it away. L is no leaf either, and has none.",
            {"w": replace(w1, grad=DW)},
            (Sum("w.grad", "2*z * x"),),
        ),
        Statement(
            "L.backward()",
            "Torch refuses. The first backward pass has freed what the graph had saved, because "
            "it is usually needed only once. Nothing has changed.",
            raises=Raises("RuntimeError", "backward through the graph a second time"),
        ),
        Statement(
            "z = w * x",
            "A new forward pass builds a new graph: z is another tensor now, made by this "
            "statement. L still belongs to the old graph. And w.grad is still there: nobody has "
            "cleared it.",
            {"z": z7},
            (Sum("z", "w * x"),),
        ),
        Statement(
            "z.retain_grad()",
            "Asks torch to keep this non-leaf's gradient too. That holds for the backward passes "
            "to come: a gradient that was thrown away does not come back.",
            {"z": z7_retaining},
        ),
        Statement(
            "L = z ** 2",
            "L is a new tensor as well, at the end of the new graph.",
            {"L": replace(L4, made=9)},
            (Sum("L", "z**2"),),
        ),
        Statement(
            "L.backward(retain_graph=True)",
            "backward adds to grad, it never replaces: what was left over from the first pass is "
            "in w.grad still, so it is twice the gradient now. That is why a training loop has "
            "to clear gradients. z kept its gradient this time, and retain_graph=True kept what "
            "the graph had saved.",
            {"w": replace(w1, grad=2 * DW), "z": replace(z7_retaining, grad=DZ)},
            (Sum("w.grad", "w_grad + 2*z * x"), Sum("z.grad", "2*z")),
        ),
        Statement(
            "L.backward()",
            "The graph was kept, so a second pass through it runs, and adds the same again: to "
            "w.grad and to the gradient that z retains. This pass frees the graph.",
            {"w": replace(w1, grad=3 * DW), "z": replace(z7_retaining, grad=2 * DZ)},
            (Sum("w.grad", "w_grad + 2*z * x"), Sum("z.grad", "z_grad + 2*z")),
        ),
        Statement(
            "w.grad.zero_()",
            "Clears the gradient in place: w.grad is still a tensor, and it holds 0. z.grad is "
            "another one and stays.",
            {"w": replace(w1, grad=0.0)},
        ),
        Statement(
            "w.grad = None",
            "Takes the gradient away altogether. This is what optimizer.zero_grad() does unless "
            "told otherwise: it saves memory, and an optimizer skips a parameter whose grad is "
            "None, while it takes a step with one that is 0.",
            {"w": w1},
        ),
        Statement(
            "d = z.detach()",
            "The same number, in the same memory, without its history: no grad_fn, no gradient "
            "required, and therefore a leaf. z itself is as it was.",
            {"d": replace(x2, value=Z, made=14)},
            (Sum("d", "z"),),
        ),
        Statement(
            "M = w * d",
            "By value M is w·w·x. The graph knows only the first w: the other one is hidden "
            "in d, which counts as a constant.",
            {"M": replace(z3, value=W * Z, made=15)},
            (Sum("M", "w * d"),),
        ),
        Statement(
            "M.backward()",
            "The gradient of w is d. For w * (w * x), without detach, it would be 2·w·x = 12: "
            "detach has shut one of the two ways to w. Nothing has come to z either.",
            {"w": replace(w1, grad=DW_DETACHED)},
            (Sum("w.grad", "d"),),
        ),
        Statement(
            "w -= 0.125 * w.grad",
            "Torch refuses again: while it records, a leaf that requires a gradient must not be "
            "changed in place. An update is no part of what is to be differentiated.",
            raises=Raises("RuntimeError", "a leaf Variable that requires grad"),
        ),
        Statement(
            "with torch.no_grad(): w -= 0.125 * w.grad",
            "Under no_grad nothing is recorded, and the leaf may change. It is the same tensor as "
            "before (made by statement 1), still a leaf that requires a gradient. What was "
            "computed from its old value stays, and so does its gradient, until it is cleared.",
            {"w": w_updated},
            (Sum("w", "w - 0.125 * w_grad"),),
        ),
        Statement(
            "with torch.no_grad(): e = w * x",
            "w requires a gradient and e does not: what is computed under no_grad has no history. "
            "no_grad is for a whole piece of code, detach for one tensor.",
            {"e": replace(x2, value=W_UPDATED * X, made=19)},
            (Sum("e", "w * x"),),
        ),
        Statement(
            "w = w - 0.125 * w.grad",
            "The common mistake. This does not change the leaf: it computes a new tensor and gives "
            "it the name w. That one is no leaf and has no grad, and the next backward pass will "
            "bring the gradient to the old leaf, which no longer has a name.",
            {
                "w": replace(
                    z3, value=W_UPDATED - LR * DW_DETACHED, grad_fn="SubBackward0", made=20
                )
            },
            (Sum("w", "w - 0.125 * w_grad"),),
        ),
    ),
)  # fmt: skip

LESSON = Lesson(
    id="plumbing",
    title="What torch keeps",
    chapter="Torch itself",
    order=1110,
    idea=(
        "The chain rule says what a gradient is; torch also has to decide where to keep it. A "
        "leaf is a tensor without a recorded history, such as one that you made yourself. Only "
        "leaves keep their gradients, unless you ask for more; backward adds to what is there "
        "already; detach and no_grad cut a value off from its history. Press s for the main part "
        "of this lesson: a small torch program, statement by statement, with the state of each "
        "tensor. What you see here is the graph that it begins with."
    ),
    program=program,
    leaves=(
        Leaf("w", W, "the weight: a leaf that requires a gradient"),
        Leaf("x", X, "the input"),
    ),
    forward=(
        Equation("z", "w * x"),
        Equation("L", "z**2"),
    ),
    derivation=(
        Equation("dL", "1"),
        Equation(
            "dz", "2*z * dL", "torch computes it too, but keeps it only after z.retain_grad()"
        ),
        Equation("dw", "x * dz", "what L.backward() adds to w.grad"),
        Equation("dx", "w * dz", "in the script x requires no gradient, and torch leaves this out"),
    ),
    after=("squared-loss",),
    minutes=12,
    notes={
        "w": "A leaf: here torch keeps the gradient, and adds to it at each backward pass.",
        "x": "A leaf too; in the script it requires no gradient, so that none is computed for it.",
        "z": "No leaf: its gradient is needed on the way to w, and then torch throws it away.",
        "L": "The backward pass starts here with 1; calling it twice on one graph needs "
        "retain_graph=True.",
    },
    mistake=(
        "To forget to clear the gradients between two backward passes: nothing fails, but each "
        "step uses the sum of all gradients so far: the updates grow, overshoot, and the loss "
        "jumps about. The other one is w = w − lr·w.grad instead of an update in place under "
        "no_grad: w becomes a non-leaf, and after the next backward pass its grad is None."
    ),
    questions=(
        Question(
            asks="After L.backward(), why is z.grad None although the gradient came through z?",
            answer="z is no leaf. Autograd passes its gradient on and then drops it to save "
            "memory, unless z.retain_grad() was called before the pass.",
        ),
        Question(
            asks="Two forward passes with the same numbers, a backward pass after each, and "
            "nothing cleared: what is in w.grad?",
            answer="Twice the gradient, because backward adds to grad instead of replacing it.",
        ),
        Question(
            asks="When does a second backward() raise an error, and when does it add up?",
            answer="On the same graph it raises an error once the saved values are freed; with "
            "retain_graph=True in the first call, or after a new forward pass, it runs and adds.",
        ),
        Question(
            asks="With d = (w * x).detach(), what is the gradient of w * d with respect to w?",
            answer="It is d, that is w·x. The w inside d is cut off, so that the graph sees a "
            "constant; without detach the gradient would be 2·w·x.",
        ),
        Question(
            asks="Why is an update written as w -= lr * w.grad under no_grad, and not as "
            "w = w - lr * w.grad?",
            answer="The first changes the leaf in place, unrecorded. The second makes a new "
            "tensor that is no leaf, so that the next gradient never arrives at the name w.",
        ),
    ),
    references=(
        "PyTorch's documentation: Autograd mechanics; Tensor.is_leaf, Tensor.retain_grad, "
        "Tensor.detach, torch.no_grad, Optimizer.zero_grad",
        "The script's states are predicted by hand; torch reports its own when it runs the script",
    ),
    script=SCRIPT,
)
