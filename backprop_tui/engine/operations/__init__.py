"""All operations, one readable block each, by family."""

from backprop_tui.engine.operations.base import REGISTRY, Array, Contribution, Operation, Value

__all__ = ["REGISTRY", "Array", "Contribution", "Operation", "Value"]
