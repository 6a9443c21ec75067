"""What the training step asks of a backend: gradients, updates, functions on the CPU, steps compiled as one.

The step itself is written once: it reads and assigns Keras variables. TensorFlow has variables that change. JAX has
none: there a variable only holds an array, and a function that JAX transforms must take and return every array. So the
variables are lent to it: they hold the transformed function's own arrays while it is traced, and get the results after.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def on_tensorflow() -> bool:
    """Returns whether Keras runs on TensorFlow; JAX is the other backend that trains."""
    return keras.backend.backend() == "tensorflow"


def value_and_gradients(function: Callable[[], tuple[Any, Any]], variables: Sequence, state: Sequence):
    """Returns (loss, more, gradients): what function() returns, and the loss's gradient for each of `variables`.

    Args:
      function: no arguments -> (loss, anything made of dicts, lists and tensors). What shall not be differentiated,
        it passes through `ops.stop_gradient`.
      variables: of a network; one that the loss does not depend on gets a gradient of zeros.
      state: every variable that `function` may assign.
    """
    if not on_tensorflow():
        return _jax_value_and_gradients(function, variables, state)
    import tensorflow as tf

    watched = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(watched)
        loss, more = function()
    return loss, more, tape.gradient(loss, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def gradient_at(function: Callable, pictures):
    """Returns the gradient of function(pictures), a scalar, at `pictures`: the same shape.

    `function` must assign no variable. May itself be differentiated.
    """
    if not on_tensorflow():
        import jax

        return jax.grad(function)(pictures)
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(pictures)
        value = function(pictures)
    return tape.gradient(value, pictures)


def apply_gradients(optimizer, gradients: Sequence, variables: Sequence, unless=None) -> None:
    """Updates `variables`, all that `optimizer` was built for; not where `unless`, a scalar bool, is true."""
    if on_tensorflow():
        if unless is None:
            optimizer.apply(gradients, variables)
        else:
            ops.cond(unless, lambda: None, lambda: optimizer.apply(gradients, variables))
        return
    changing = [*variables, *optimizer.variables]
    before = _values(changing)

    def updated():
        learnt, own = optimizer.stateless_apply(_values(optimizer.variables), gradients, _values(variables))
        return [*learnt, *own]

    _assign(changing, updated() if unless is None else ops.cond(unless, lambda: before, updated))


def on_cpu(compute: Callable[[np.ndarray], np.ndarray], pictures):
    """Returns compute(pictures), float32 of the same shape [B, H, W, 3], made by NumPy outside the compiled step."""
    if not on_tensorflow():
        import jax

        result = jax.ShapeDtypeStruct(pictures.shape, np.float32)
        return jax.pure_callback(lambda array: compute(np.asarray(array)), result, pictures)
    import tensorflow as tf

    return tf.ensure_shape(tf.numpy_function(compute, [pictures], tf.float32), pictures.shape)


def fit_under_jax(trainer, batches: Iterable[dict], steps: int, callbacks: list) -> None:
    """Trains `steps` steps as `keras.Model.fit` would, one epoch, with the same calls of the same callbacks.

    Keras's own `fit` under JAX carries one optimizer through a step; a trainer has one per network.
    """
    calls = keras.callbacks.CallbackList(callbacks, model=trainer, epochs=1, steps=steps)
    step, trainer.stop_training = _compiled_step(trainer), False
    calls.on_train_begin()
    for number, batch in enumerate(itertools.islice(batches, steps)):
        calls.on_train_batch_begin(number)
        calls.on_train_batch_end(number, step(batch))
        if trainer.stop_training:
            break
    calls.on_train_end()


def _compiled_step(trainer) -> Callable[[dict], dict]:
    """Returns batch -> logs of `trainer.train_step`, compiled by JAX; the trainer's variables change as it runs."""
    import jax

    changing, fixed = list(trainer.state.values()), trainer.objective.fixed_variables

    # What stays fixed is an argument too: as a constant, VGG19 would be part of the program that is compiled.
    def step(values, constants, batch):
        with _holding([*changing, *fixed], [*values, *constants]):
            logs = trainer.train_step(batch)
            return logs, _values(changing)

    compiled = jax.jit(step, donate_argnums=0)

    def run(batch):
        logs, values = compiled(_values(changing), _values(fixed), batch)
        _assign(changing, values)
        return jax.device_get(logs)  # in one transfer; the callbacks read every term of every step

    return run


def _jax_value_and_gradients(function: Callable, variables: Sequence, state: Sequence):
    import jax

    known = {id(variable) for variable in variables}
    others = [variable for variable in state if id(variable) not in known]

    def loss_of(values):
        _assign(variables, values)
        loss, more = function()
        return loss, (more, _values(others))

    now = _values(variables)
    with _holding([*variables, *others], [*now, *_values(others)]):
        (loss, (more, after)), gradients = jax.value_and_grad(loss_of, has_aux=True)(now)
    _assign(others, after)
    return loss, more, gradients


@contextlib.contextmanager
def _holding(variables: Sequence, values: Sequence) -> Iterator[None]:
    """Context in which `variables` hold `values`, or what is assigned; after it they hold what they held before."""
    before = _values(variables)
    _assign(variables, values)
    try:
        yield
    finally:
        _assign(variables, before)


def _values(variables: Sequence) -> list:
    return [variable.value for variable in variables]


def _assign(variables: Sequence, values: Sequence) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
