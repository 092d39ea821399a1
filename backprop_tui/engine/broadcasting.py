"""Broadcasting, undone: the one place where a gradient is summed back to its operand's shape."""

from typing import cast

import numpy as np

from backprop_tui.engine.operations.base import Array, Value

Shape = tuple[int, ...]


def shape_of(value: Value) -> Shape:
    """The shape of a value; a float is a scalar, ()."""
    return () if type(value) is float else cast(Array, value).shape


def summed_axes(shape: Shape, target: Shape) -> tuple[int, ...]:
    """The axes of `shape` along which a value of shape `target` was repeated by broadcasting.

    Broadcasting aligns the last axes. An axis was repeated if the target lacks it or has length 1
    there. `target` must broadcast to `shape`.
    """
    missing = len(shape) - len(target)
    repeated = (
        missing + axis
        for axis, length in enumerate(target)
        if length == 1 and shape[missing + axis] != 1
    )
    return (*range(missing), *repeated)


def sum_to_shape(gradient: Value, target: Shape) -> Value:
    """Sum a gradient over the axes along which its operand was repeated.

    A value that was used in several cells adds up what comes back from each of them.
    """
    shape = shape_of(gradient)
    if shape == target:
        return gradient
    summed = np.sum(gradient, axis=summed_axes(shape, target))
    return float(summed) if target == () else np.reshape(summed, target)
