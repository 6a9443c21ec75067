"""Bounds on activations that a network can come back from while it learns."""

from __future__ import annotations

import contextlib
import contextvars

import keras
from keras import layers, ops

_LEAK = 0.1
_LEAKING = contextvars.ContextVar("leaking", default=False)


@contextlib.contextmanager
def leaking():
    """Context of a learning network's forward pass: beyond a bound a tenth of the gradient still comes through.

    Without it a map that has left its bounds for every picture never learns again. Trained at frozen norms, the narrow
    last maps of `fast` have all gone like that, and with them the whole network but its way past them. What is computed
    is the same; exported graphs know nothing of it. Within the bounds the tenth comes on top, so the gradient is 1.1.
    """
    token = _LEAKING.set(True)
    try:
        yield
    finally:
        _LEAKING.reset(token)


def clip(x, low: float, high: float):
    """Returns min(max(x, low), high), any shape; see `leaking`."""
    return _leak(x, ops.clip(x, low, high))


@keras.saving.register_keras_serializable(package="animegan_tf")
class BoundedReLU(layers.ReLU):
    """min(max(x, 0), max_value): any shape -> the same; see `leaking`."""

    def call(self, inputs):
        return _leak(inputs, super().call(inputs))


def _leak(x, bounded):
    return bounded + _LEAK * (x - ops.stop_gradient(x)) if _LEAKING.get() else bounded
