"""Multiply-accumulates, counted in TensorFlow graphs: of networks as they are built, and of a training step.

Those of exported files are counted in the files: see evaluation/cost.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError

if TYPE_CHECKING:
    from animegan_tf.models import Generator
    from animegan_tf.training.trainer import Trainer

_REFERENCE = 256


def count_ops(outputs: Iterable[tf.Tensor], products: bool = True) -> int:
    """Returns the multiply-accumulates of all that `outputs` are computed from, tensors of one graph with known sizes.

    Counted are convolutions, their gradients, and with `products` those of matrices.
    """
    waiting = [tensor.op for tensor in outputs if tensor is not None]
    seen, total = set(), 0
    while waiting:
        op = waiting.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        if op.type in _CONVOLUTIONS:
            total += _convolution(op)
        elif products and op.type in _PRODUCTS:
            total += _product(op)
        waiting += [tensor.op for tensor in op.inputs]
    return total


def count_generator(generator: Generator, side: int = _REFERENCE) -> int:
    """Returns the multiply-accumulates of one side x side picture through `generator`."""
    specs = {name: tf.TensorSpec([1, *shape], tf.float32, name) for name, shape in generator.inputs_shape.items()}
    names = list(specs)

    @tf.function(input_signature=[tf.TensorSpec([1, side, side, 3], tf.float32), *specs.values()])
    def stylize(image, *further):
        return generator(image, **dict(zip(names, further, strict=True)), training=False)

    return count_ops(stylize.get_concrete_function().outputs)


@dataclass(frozen=True)
class StepMacs:
    """Multiply-accumulates that a training step really needs, by pass; those of convolutions, which are nearly all.

    A convolution costs as much forwards as for the gradient of its kernel and as for the gradient of its input.

    generator: of the photos, forwards, and the gradient of every kernel; no gradient reaches the photo.
    discriminator: its update on all kinds of pictures, forwards, and the gradient of every kernel; not of the pictures.
    verdict: the discriminator on the stylized pictures for the generator's update, forwards, and the gradient of these
      pictures; not of its kernels.
    targets: VGG19 on the photos, and on the style pictures where Gram matrices are those of the batch, forwards alone.
    features: VGG19 on the stylized pictures, forwards, and the gradient of these pictures.
    Not counted: Gram matrices, norms, the vectors of spectral norm, the optimizers.
    """

    generator: int
    discriminator: int
    verdict: int
    targets: int
    features: int

    @property
    def total(self) -> int:
        """Of the whole step."""
        return sum(asdict(self).values())


def count_step(trainer: Trainer, batch_size: int) -> StepMacs:
    """Returns what a step of `trainer` needs, with a batch of `batch_size` pictures, in the stage of training.

    Raises:
      ConfigError: the system is not one generator of a photo alone and at most one discriminator without a penalty.
    """
    config, generator, discriminator = trainer.config, trainer.generator, trainer.discriminator
    _check_countable(config, generator)
    features: Any = trainer.objective.features
    side = config.image_size
    judged, seen = (min(crop or side, side) for crop in (config.discriminator_crop, config.feature_crop))
    kinds = sum(bool(getattr(config, f"discriminator_{kind}_weight")) for kind in _KINDS)
    looks = bool(config.content_weight or config.perceptual_weight) + bool(
        config.gram_weight and config.gram_target == "batch"
    )
    update = verdict = 0
    if discriminator is not None:

        def judge(pictures, training: bool = True):
            return discriminator(pictures, training=training)

        update = _count_pass(judge, kinds * batch_size, judged, discriminator.trainable_variables)
        verdict = _count_pass(lambda pictures: judge(pictures, False), batch_size, judged)
    return StepMacs(
        generator=_count_pass(
            lambda photo: generator(photo, training=True), batch_size, side, generator.trainable_variables
        ),
        discriminator=update,
        verdict=verdict,
        targets=_count_pass(features, looks * batch_size, seen, gradient=False) if looks else 0,
        features=_count_pass(features, batch_size, seen) if features.wanted else 0,
    )


def _check_countable(config: TrainConfig, generator: Generator) -> None:
    double = config.double_tail_terms or config.main_adversarial_weight
    if double or config.gradient_penalty != "none" or config.discriminator_steps != 1 or generator.inputs_shape:
        raise ConfigError(
            f"--recipe={config.recipe}: the work of a step is counted for generators of a photo alone with one "
            "discriminator, no gradient penalty and --discriminator_steps=1."
        )


def _count_pass(call: Callable, batch: int, side: int, variables: Sequence[Any] = (), *, gradient: bool = True) -> int:
    """Returns the multiply-accumulates of call(pictures), and of its gradient.

    Args:
      call: [batch, side, side, 3] float32 -> tensors.
      variables: what the gradient is for; none: for the pictures.
      gradient: False for the values alone.
    """

    @tf.function(input_signature=[tf.TensorSpec([batch, side, side, 3], tf.float32)])
    def passed(pictures):
        watched = [variable.value for variable in variables] or [pictures]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            outputs = tf.nest.flatten(call(pictures))
        return outputs, tape.gradient(outputs, watched) if gradient else []

    return count_ops(passed.get_concrete_function().outputs, products=False)


_KINDS = ("anime", "stylized", "gray", "smooth")
# Which input of an operation is the kernel, and which tensor has the positions that it is applied at; -1: the output.
_CONVOLUTIONS = {
    "Conv2D": (1, -1),
    "Conv2DBackpropInput": (1, 2),
    "Conv2DBackpropFilter": (-1, 2),
    "DepthwiseConv2dNative": (1, -1),
    "DepthwiseConv2dNativeBackpropInput": (1, 2),
    "DepthwiseConv2dNativeBackpropFilter": (-1, 2),
}
_PRODUCTS = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}


def _convolution(op) -> int:
    kernel, positions = (op.outputs[0] if place < 0 else op.inputs[place] for place in _CONVOLUTIONS[op.type])
    return math.prod(kernel.shape) * math.prod(positions.shape[:3])


def _product(op) -> int:
    left = op.inputs[0].shape
    return math.prod(op.outputs[0].shape) * left[-2 if op.get_attr(_PRODUCTS[op.type]) else -1]
