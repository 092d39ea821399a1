"""[f1, f2] = [ln(x²), sin(3x)]: the vector chain rule is a product of Jacobians."""

from typing import Any

from backprop_tui.lessons.base import Equation, Leaf, Lesson, Question


def program(xp: Any, x: Any, v1: Any, v2: Any) -> Any:
    g1 = x**2
    g2 = 3 * x
    f1 = xp.log(g1)
    f2 = xp.sin(g2)
    L = v1 * f1 + v2 * f2
    return L


LESSON = Lesson(
    id="vector-chain-rule",
    title="The vector chain rule, and Jacobians",
    chapter="Matrix calculus",
    order=530,
    idea=(
        "Between vectors a slope is a whole table, the Jacobian: row i, column j says how output "
        "i moves with input j. The chain rule stays what it was, with matrix products for "
        "products: the Jacobian of f after g is that of f times that of g. The backward pass "
        "carries one row vector, the gradient, and multiplies it by a Jacobian at each step; for "
        "that it does not even have to write the table down. Here v = (v1, v2) says how much f1 "
        "and f2 count in the end: with v = (1, 0) the gradient of x is the first row of the whole "
        "Jacobian, with (0, 1) the second."
    ),
    program=program,
    leaves=(
        Leaf("x", 0.7, "the only variable"),
        Leaf("v1", 1.5, "how much f1 counts in L"),
        Leaf("v2", -0.5, "how much f2 counts in L"),
    ),
    forward=(
        Equation("array(g1, g2)", "array(x**2, 3 * x)"),
        Equation("array(f1, f2)", "array(log(g1), sin(g2))"),
        Equation("L", "array(v1, v2) @ array(f1, f2)", "a number, for the gradient to start from"),
    ),
    derivation=(
        Equation("array(df1, df2)", "array(v1, v2)", "the row vector that comes from above"),
        Equation(
            "array(dg1, dg2)",
            "array(df1, df2) @ array(array(1 / g1, 0), array(0, cos(g2)))",
            "times the Jacobian of f in g: f1 does not depend on g2, nor f2 on g1",
        ),
        Equation(
            "array(dx)",
            "array(dg1, dg2) @ array(array(2 * x), array(3))",
            "times the Jacobian of g in x: two rows, one column",
        ),
        Equation(
            "array(dx)",
            "array(v1, v2) @ array(array(2 / x), array(3 * cos(3 * x)))",
            "v times the Jacobian of the whole, which is the product of the two",
        ),
        Equation("array(dv1, dv2)", "array(f1, f2)"),
    ),
    after=("total-derivative",),
    minutes=7,
    notes={
        "x": "The sum over the two ways, through g1 and through g2, is what the matrix product "
        "with a single column does.",
        "g1": "Only f1 uses it. That is why the Jacobian of f has a 0 beside 1/g1.",
        "g2": "Only f2 uses it. What f1 received does not reach it.",
        "f1": "It receives v1: its row of the Jacobian will count this much.",
        "f2": "It receives v2: its row of the Jacobian will count this much.",
        "v1": "Its gradient is f1. Set v1 = 1 and v2 = 0, and x receives 2/x, the slope of ln(x²).",
        "v2": "Its gradient is f2. Set v1 = 0 and v2 = 1, and x receives 3·cos(3x), "
        "the slope of sin(3x).",
        "L": "f1 and f2, weighted and added up: a backward pass starts from one number.",
    },
    mistake=(
        "Expecting the backward pass to give the Jacobian. It gives v times the Jacobian: for two "
        "outputs and v = (1, 1) the sum of the two rows, one number for x where the Jacobian has "
        "two. torch insists on the difference and refuses backward() from a vector unless it is "
        "given v. For the whole Jacobian one needs a backward pass for each row."
    ),
    questions=(
        Question(
            "What stands in row i and column j of a Jacobian?",
            "How fast output i moves when input j moves and the other inputs stay: the partial "
            "derivative of output i with respect to input j.",
        ),
        Question(
            "Why is the Jacobian of a function that works cell by cell diagonal?",
            "Each output depends on the input of the same place only, so all other partial "
            "derivatives are 0. Multiplying by it is a product cell by cell, "
            "and no table has to be built.",
        ),
        Question(
            "How do you get the second row of the Jacobian from a backward pass?",
            "Start it with v = (0, 1): the row vector times the Jacobian is then the second row.",
        ),
        Question(
            "A network has a million weights and one loss. Why does one go backwards?",
            "The Jacobian of the loss has one row and a million columns. One backward pass gives "
            "the whole row, where going forwards one would need a pass for each column.",
        ),
    ),
    references=(
        "T. Parr and J. Howard, The Matrix Calculus You Need For Deep Learning "
        "(arXiv 1802.01528), the vector chain rule: [ln(x²), sin(3x)] with g = [x², 3x] has the "
        "Jacobian [2/x, 3cos(3x)]; v, L and the value of x are ours",
    ),
)
