"""Structured pruning: channels that hardly change the picture leave a trained network, which then is smaller.

What goes are channels inside the inverted residuals of `fast` and `mobile`, each with its column of the 1x1 expansion,
its depthwise filter and its row of the 1x1 projection. No sum runs over them, so all other shapes stay.

Source: Li et al. 2017, Pruning Filters for Efficient ConvNets (whole filters of small magnitude, then training again);
Molchanov et al. 2017, Pruning Convolutional Neural Networks for Resource Efficient Inference (the deviation of a
channel's responses as its magnitude, divided by the layer's L2 norm, so that layers can be compared).
Differs: a channel leaves its mean behind, so that one which never changes can go without a trace.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from animegan_tf import images
from animegan_tf.errors import ConfigError

if TYPE_CHECKING:
    from animegan_tf.models.mobile import InvertedResidual, ResidualGenerator

MACS_SIDE = 256


@dataclass(frozen=True)
class Responses:
    """How the channels inside one block answer to photos: mean and standard deviation of each, [E] float64."""

    mean: np.ndarray
    deviation: np.ndarray


def response_importance(block: InvertedResidual, responses: Responses) -> np.ndarray:
    """Returns [E]: the deviation of what each channel adds to the block's output, the output's norm folded in."""
    return responses.deviation * _projection_lengths(block)


def weight_importance(block: InvertedResidual, responses: Responses) -> np.ndarray:
    """Returns [E]: the product of the lengths of each channel's three filters, their norms folded in.

    Source: Li et al. 2017. Differs: they take the L1 norm of one filter, and no norm layer.
    """
    expand, depthwise = (_kernel(part) * _scale(part[1]) for part in (block.expand, block.depthwise))
    return np.linalg.norm(expand, axis=0) * np.linalg.norm(depthwise, axis=0) * _projection_lengths(block)


IMPORTANCE: dict[str, Callable[[InvertedResidual, Responses], np.ndarray]] = {
    "response": response_importance,
    "weight": weight_importance,
}


@dataclass(frozen=True)
class Size:
    """channels: inside each block. parameters: trained ones. macs: multiply-accumulates at 256x256."""

    channels: tuple[int, ...]
    parameters: int
    macs: int


def measure_responses(generator: ResidualGenerator, photos: Sequence[np.ndarray]) -> list[Responses]:
    """Returns the responses of every block; `photos`: [H, W, 3] uint8 RGB of any size."""
    sums = [np.zeros((3, block.project[0].kernel.shape[2])) for block in generator.blocks]
    for block, total in zip(generator.blocks, sums, strict=True):
        block.watch = functools.partial(_add, total)
    try:
        for photo in photos:
            padded = images.pad_to_multiple(photo, generator.size_multiple)
            generator(images.to_float(padded)[None], training=False)
    finally:
        for block in generator.blocks:
            block.watch = None
    means = [(first / count, second / count) for first, second, count in sums]
    return [Responses(mean, np.sqrt(np.maximum(square - mean**2, 0))) for mean, square in means]


def _add(total: np.ndarray, inside) -> None:
    values = np.asarray(inside, np.float64).reshape(-1, total.shape[1])
    total += [values.sum(0), (values**2).sum(0), np.full(total.shape[1], len(values))]


@dataclass(frozen=True)
class _Group:
    """Channels of one block that go together; strength: importance of the strongest; parameters: their number."""

    strength: float
    block: int
    channels: np.ndarray
    parameters: int


def choose(
    generator: ResidualGenerator,
    responses: Sequence[Responses],
    *,
    ratio: float = 0.0,
    threshold: float = 0.0,
    importance: str = "response",
    multiple: int = 8,
) -> list[np.ndarray]:
    """Returns the channels of each block that stay, in order; of every block at least `multiple` do.

    Args:
      responses: of `measure_responses`.
      ratio: share of the generator's trained parameters that goes, at least.
      threshold: without `ratio`: channels go that are less important than this, as a share of their block's L2 norm.
      importance: a key of IMPORTANCE.
      multiple: channels go in groups of so many, the first of a block so that a multiple of it is left.

    Raises:
      ConfigError: no group is below `threshold`, or `ratio` leaves too little.
    """
    groups = _groups(generator, responses, IMPORTANCE[importance], multiple)
    if ratio:
        going = _by_ratio(groups, ratio, parameters_of(generator), multiple)
    else:
        going = [group for group in groups if group.strength < threshold]
    if not going:
        weakest = f"the weakest {multiple} of a block reach {groups[0].strength:.2g}" if groups else "none may go"
        raise ConfigError(f"--threshold={threshold:g} is below all channels: {weakest}.")
    stays = [np.ones(len(answer.mean), bool) for answer in responses]
    for group in going:
        stays[group.block][group.channels] = False
    return [np.flatnonzero(mask) for mask in stays]


def _by_ratio(groups: list[_Group], ratio: float, parameters: int, multiple: int) -> list[_Group]:
    sums = np.cumsum([0, *(group.parameters for group in groups)])
    if sums[-1] < ratio * parameters:
        raise ConfigError(
            f"--ratio={ratio:g} leaves too little: at most {math.floor(100 * sums[-1] / parameters) / 100:g} can go, "
            f"for {multiple} channels stay in every block."
        )
    return groups[: int(np.searchsorted(sums, ratio * parameters))]


def _groups(
    generator: ResidualGenerator, responses: Sequence[Responses], importance: Callable, multiple: int
) -> list[_Group]:
    """Returns all groups that may go, the weakest first."""
    groups = []
    for number, (block, answer) in enumerate(zip(generator.blocks, responses, strict=True)):
        found = importance(block, answer)
        share = found / max(np.linalg.norm(found), 1e-30)
        order = np.argsort(share, kind="stable")
        cuts = range(len(order) % multiple or multiple, len(order), multiple)
        for channels in np.split(order, cuts)[:-1]:
            # Each has a column, a depthwise filter and a row, and scale and shift of two norms.
            parameters = len(channels) * (2 * block.expand[0].kernel.shape[2] + 9 + 4)
            groups.append(_Group(float(share[channels[-1]]), number, channels, parameters))
    return sorted(groups, key=lambda group: group.strength)


def copy_kept(
    generator: ResidualGenerator,
    slim: ResidualGenerator,
    kept: Sequence[np.ndarray],
    responses: Sequence[Responses],
) -> None:
    """Gives `slim` the weights of `generator` without the channels that are not `kept`, but for their means.

    What a channel adds on average is taken from the mean that the projection's norm subtracts.
    """
    channels = {id(v): keep for block, keep in zip(generator.blocks, kept, strict=True) for v in block.variables}
    for before, after in zip(generator.variables, slim.variables, strict=True):
        values = before.numpy()
        for axis in (axis for axis, side in enumerate(values.shape) if side != after.shape[axis]):
            values = values.take(channels[id(before)], axis)
        after.assign(values)
    for old, new, keep, answer in zip(generator.blocks, slim.blocks, kept, responses, strict=True):
        gone = np.setdiff1d(np.arange(len(answer.mean)), keep)
        lost = answer.mean[gone] @ _kernel(old.project)[gone]
        for mean in (new.project[1].moving_mean, new.project[1].renorm_mean):
            mean.assign(mean.numpy() - lost)


def count_macs(generator: ResidualGenerator, side: int = MACS_SIDE) -> int:
    """Returns the multiply-accumulates of all convolutions for one side x side picture."""
    import tensorflow as tf

    function = tf.function(lambda photo: generator(photo, training=False))
    total = 0
    for op in function.get_concrete_function(tf.TensorSpec([1, side, side, 3])).graph.get_operations():
        if op.type == "Conv2D":
            total += math.prod(op.outputs[0].shape) * math.prod(op.inputs[1].shape[:3])
        elif op.type == "DepthwiseConv2dNative":
            total += math.prod(op.outputs[0].shape) * math.prod(op.inputs[1].shape[:2])
        elif op.type == "Conv2DBackpropInput":  # transposed: sizes, kernel [k, k, out, in], image
            total += math.prod(op.inputs[2].shape) * math.prod(op.inputs[1].shape[:3])
    return total


def parameters_of(generator: ResidualGenerator) -> int:
    """Returns the number of trained parameters."""
    return sum(math.prod(variable.shape) for variable in generator.trainable_variables)


def size_of(generator: ResidualGenerator) -> Size:
    """Returns what the generator holds and costs."""
    channels = tuple(block.project[0].kernel.shape[2] for block in generator.blocks)
    return Size(channels, parameters_of(generator), count_macs(generator))


def _kernel(part: Sequence) -> np.ndarray:
    """Returns the kernel of [convolution, norm, ...]: [in, out] of a 1x1 one, [9, channels] of a depthwise one."""
    kernel = part[0].kernel.numpy().astype(np.float64)
    return kernel.reshape(kernel.shape[2:] if len(kernel) == 1 else (-1, kernel.shape[2]))


def _scale(norm) -> np.ndarray:
    """Returns what a batch norm multiplies each channel by."""
    return norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy().astype(np.float64) + norm.epsilon)


def _projection_lengths(block: InvertedResidual) -> np.ndarray:
    return np.linalg.norm(_kernel(block.project) * _scale(block.project[1]), axis=1)
