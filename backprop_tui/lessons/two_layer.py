"""Two inputs, two hidden neurons, two outputs: a network with every number written out."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Plot, Question


def program(
    xp: Any,
    i1: Any,
    i2: Any,
    w1: Any,
    w2: Any,
    w3: Any,
    w4: Any,
    b1: Any,
    w5: Any,
    w6: Any,
    w7: Any,
    w8: Any,
    b2: Any,
    target_o1: Any,
    target_o2: Any,
) -> Any:
    net_h1 = w1 * i1 + w2 * i2 + b1
    out_h1 = xp.sigmoid(net_h1)
    net_h2 = w3 * i1 + w4 * i2 + b1
    out_h2 = xp.sigmoid(net_h2)

    net_o1 = w5 * out_h1 + w6 * out_h2 + b2
    out_o1 = xp.sigmoid(net_o1)
    net_o2 = w7 * out_h1 + w8 * out_h2 + b2
    out_o2 = xp.sigmoid(net_o2)

    E_o1 = 0.5 * (target_o1 - out_o1) ** 2
    E_o2 = 0.5 * (target_o2 - out_o2) ** 2
    E_total = E_o1 + E_o2
    return E_total


LESSON = Lesson(
    id="two-layer",
    title="A network by hand",
    chapter="Networks",
    order=610,
    after=("squared-loss", "sigmoid-neuron"),
    minutes=20,
    idea=(
        "Two inputs, two hidden neurons, two outputs, and each number has a name: the network "
        "that Matt Mazur works through on paper. Every neuron does the same: it adds up what "
        "comes in, weighted, and a bias (net), and squashes that between 0 and 1 (out). On the "
        "way back every neuron does the same, too: it multiplies what arrives by out·(1 − out), "
        "then hands each weight its input and each input its weight. A hidden neuron had a part "
        "in both outputs' errors, so it hears from both, and the two are added before it passes "
        "anything on. Then comes what all this is for: an update moves each weight a little "
        "against its gradient, w⁺ = w − 0.5 · ∂E/∂w. Type the eight new weights in the place of "
        "the old (they stand at the weights), and the total error falls from 0.298371109 to "
        "0.291027774."
    ),
    program=program,
    leaves=(
        Leaf("i1", 0.05, "the first input"),
        Leaf("i2", 0.10, "the second input"),
        Leaf("w1", 0.15, "the weight from i1 to h1"),
        Leaf("w2", 0.20, "the weight from i2 to h1"),
        Leaf("w3", 0.25, "the weight from i1 to h2"),
        Leaf("w4", 0.30, "the weight from i2 to h2"),
        Leaf("b1", 0.35, "the bias that both hidden neurons share"),
        Leaf("w5", 0.40, "the weight from h1 to o1"),
        Leaf("w6", 0.45, "the weight from h2 to o1"),
        Leaf("w7", 0.50, "the weight from h1 to o2"),
        Leaf("w8", 0.55, "the weight from h2 to o2"),
        Leaf("b2", 0.60, "the bias that both outputs share"),
        Leaf("target_o1", 0.01, "what o1 should say"),
        Leaf("target_o2", 0.99, "what o2 should say"),
    ),
    forward=(
        Equation("net_h1", "w1 * i1 + w2 * i2 + b1"),
        Equation("out_h1", "sigmoid(net_h1)"),
        Equation("net_h2", "w3 * i1 + w4 * i2 + b1"),
        Equation("out_h2", "sigmoid(net_h2)"),
        Equation("net_o1", "w5 * out_h1 + w6 * out_h2 + b2"),
        Equation("out_o1", "sigmoid(net_o1)"),
        Equation("net_o2", "w7 * out_h1 + w8 * out_h2 + b2"),
        Equation("out_o2", "sigmoid(net_o2)"),
        Equation("E_o1", "0.5 * (target_o1 - out_o1)**2", "the ½ cancels the 2 of its slope"),
        Equation("E_o2", "0.5 * (target_o2 - out_o2)**2"),
        Equation("E_total", "E_o1 + E_o2"),
    ),
    derivation=(
        Equation("dout_o1", "-(target_o1 - out_o1)", "how far too high the output is"),
        Equation("dout_o2", "-(target_o2 - out_o2)"),
        Equation("dnet_o1", "dout_o1 * out_o1 * (1 - out_o1)", "through the sigmoid"),
        Equation("dnet_o2", "dout_o2 * out_o2 * (1 - out_o2)"),
        Equation("dw5", "dnet_o1 * out_h1", "what arrived times what the weight was multiplied by"),
        Equation("dw6", "dnet_o1 * out_h2"),
        Equation("dw7", "dnet_o2 * out_h1"),
        Equation("dw8", "dnet_o2 * out_h2"),
        Equation("db2", "dnet_o1 + dnet_o2", "one bias in two neurons"),
        Equation(
            "dout_h1",
            "dnet_o1 * w5 + dnet_o2 * w7",
            "from both outputs, through the weights as they were in the forward pass",
        ),
        Equation("dout_h2", "dnet_o1 * w6 + dnet_o2 * w8"),
        Equation("dnet_h1", "dout_h1 * out_h1 * (1 - out_h1)"),
        Equation("dnet_h2", "dout_h2 * out_h2 * (1 - out_h2)"),
        Equation("dw1", "dnet_h1 * i1"),
        Equation("dw2", "dnet_h1 * i2"),
        Equation("dw3", "dnet_h2 * i1"),
        Equation("dw4", "dnet_h2 * i2"),
        Equation("db1", "dnet_h1 + dnet_h2"),
        Equation("di1", "dnet_h1 * w1 + dnet_h2 * w3"),
        Equation("di2", "dnet_h1 * w2 + dnet_h2 * w4"),
        Equation("dtarget_o1", "target_o1 - out_o1"),
        Equation("dtarget_o2", "target_o2 - out_o2"),
        Equation(
            "w5 - 0.5 * dw5",
            "w5 - 0.5 * (out_o1 - target_o1) * out_o1 * (1 - out_o1) * out_h1",
            "w5⁺, the weight after one update; with the published numbers "
            "0.4 − 0.5 · 0.082167041 = 0.35891648",
        ),
        Equation(
            "w1 - 0.5 * dw1",
            "w1 - 0.5 * (dnet_o1 * w5 + dnet_o2 * w7) * out_h1 * (1 - out_h1) * i1",
            "w1⁺, with the old w5 and w7, not the new; with the published numbers "
            "0.15 − 0.5 · 0.000438568 = 0.149780716",
        ),
    ),
    notes={
        "i1": "It went into both hidden neurons, so both send something back. An input is not "
        "updated; in a deeper network this is what the layer before would receive.",
        "i2": "As published, it is twice i1, so the gradients of w2 and w4 are twice those of w1 "
        "and w3.",
        "w1": "What arrived at net_h1 times its input i1: the smaller the input, the smaller the "
        "gradient. Published: one update turns 0.15 into 0.149780716.",
        "w2": "What arrived at net_h1 times its input i2. "
        "Published: one update turns 0.20 into 0.19956143.",
        "w3": "What arrived at net_h2 times its input i1. "
        "Published: one update turns 0.25 into 0.24975114.",
        "w4": "What arrived at net_h2 times its input i2. "
        "Published: one update turns 0.30 into 0.29950229.",
        "b1": "Both hidden neurons share it, so it collects from both. The post leaves the biases "
        "as they are.",
        "w5": "What arrived at net_o1 times the output of h1. "
        "Published: one update turns 0.40 into 0.35891648.",
        "w6": "What arrived at net_o1 times the output of h2. "
        "Published: one update turns 0.45 into 0.408666186.",
        "w7": "What arrived at net_o2 times the output of h1. Published: o2 is too low, so the "
        "gradient is negative, and one update turns 0.50 into 0.511301270.",
        "w8": "What arrived at net_o2 times the output of h2. "
        "Published: one update turns 0.55 into 0.561370121.",
        "b2": "Both outputs share it. As published, one of them should fall and the other rise, so "
        "the two contributions partly cancel.",
        "target_o1": "Its gradient is that of the output with the opposite sign: only their "
        "difference counts.",
        "target_o2": "A target is data and stays as it is; its gradient only says how the error "
        "would react to another one.",
        "net_h1": "The weighted sum of h1. What arrives here passes unchanged to the bias and to "
        "both products, and from these to the weights times their inputs.",
        "out_h1": "It was used twice, for o1 and for o2, so two contributions are added. "
        "Published: 0.055399425 and −0.019049119.",
        "net_h2": "The weighted sum of h2. Both hidden neurons see the same inputs; only the "
        "weights tell them apart.",
        "out_h2": "It hears from o1 through w6 and from o2 through w8, and adds the two up.",
        "net_o1": "What arrives here is the δ of o1 in the post: the error's slope times the "
        "sigmoid's. All that o1 sends further back is a multiple of it.",
        "out_o1": "Its gradient is output − target: positive where the output is too high, as "
        "published (0.75136507 where 0.01 is wanted).",
        "net_o2": "What arrives here is the δ of o2: smaller in size than the gradient of out_o2, "
        "since the slope of the sigmoid is at most ¼.",
        "out_o2": "Its gradient is output − target: negative where the output is too low, as "
        "published (0.772928465 where 0.99 is wanted).",
        "E_o1": "Half the squared difference, so that its slope is the difference itself. It is "
        "one term of the total, so its gradient is 1.",
        "E_o2": "As published, it is less than a tenth of E_o1: o2 is nearer to its target.",
        "E_total": "The number that an update should make smaller. The backward pass starts here "
        "with 1.",
    },
    mistake=(
        "Updating w5 to w8 before they have been used for the gradients of w1 to w4. Everything "
        "still runs and the error still falls, so nothing gives it away but a comparison. The post "
        "itself is an example: it says to use the old weights, and the new weights that it prints "
        "are right, but the error it prints after one update, 0.291027924, is what comes of the "
        "wrong order. Its printed weights give 0.291027774."
    ),
    questions=(
        Question(
            "Why do two contributions arrive at out_h1, and what is done with them?",
            (
                "Both outputs used it, o1 through w5 and o2 through w7. It is responsible for "
                "both errors, so the two are added before anything is passed on."
            ),
        ),
        Question(
            "Which three factors make the gradient of w5?",
            (
                "How far the output is off, out_o1 − target_o1; the slope of the sigmoid there, "
                "out_o1·(1 − out_o1); and what w5 was multiplied by, out_h1: "
                "0.74136507 · 0.186815602 · 0.593269992 = 0.082167041."
            ),
        ),
        Question(
            "Why is the published gradient of w1 almost 190 times smaller than that of w5?",
            (
                "Its input is 0.05 where that of w5 is 0.593; what comes back through w5 and w7 "
                "partly cancels and is 0.0364 where net_o1 has 0.138; and it stands behind one "
                "more sigmoid, whose slope there is 0.241."
            ),
        ),
        Question(
            "Why must the old w5 be used for the gradient of w1?",
            (
                "The gradient is the slope of the error at the point where the forward pass was "
                "made. With the new w5 it would mix two different points."
            ),
        ),
        Question(
            "o1 is right by chance. Which weights still receive gradient?",
            (
                "w7 and w8 for o2, and w1 to w4, since the hidden neurons hear from o2 as well. "
                "w5 and w6 receive 0."
            ),
        ),
        Question(
            "How does the update of w7 differ from that of w5, and why?",
            (
                "w7 grows and w5 shrinks. An update goes against the gradient, and o2 is too low "
                "where o1 is too high."
            ),
        ),
    ),
    plot=Plot("along", "w5"),
    references=(
        "Matt Mazur, A Step by Step Backpropagation Example (2015): the names, and all numbers "
        "for the forward pass, the gradients and one update with the learning rate 0.5",
        "The erratum: its error after one update, 0.291027924, belongs to the wrong order of "
        "updating; the new weights that it prints give 0.291027774",
    ),
)
