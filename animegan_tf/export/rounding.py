"""Rounds the kernel of a convolution to whole steps so that its result stays, rather than every weight by itself.

Weights rounded one by one err at random, and on a calm sky, where every weight meets the same colour, the errors of one
channel add up: where the channels are the pixels of a block, to a grid of one level.

Source: Frantar et al. 2023, GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers,
algorithm 1, without blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_LIMIT = 127
_DAMPING = 1e-4
_PATCH_STRIDE = 3


def second_moment(maps: Iterable[np.ndarray], height: int, width: int) -> np.ndarray:
    """Returns the mean of x xT over patches of `maps`, [n, n] with n = height width C, in the order of a kernel.

    Args:
      maps: float [1, H, W, C] each, what a convolution of height x width reads. A ninth of all patches is taken.
    """
    total, count = np.zeros(()), 0
    for one in maps:
        windows = np.lib.stride_tricks.sliding_window_view(one[0], (height, width), (0, 1))
        patches = np.moveaxis(windows[::_PATCH_STRIDE, ::_PATCH_STRIDE], 2, -1)
        patches = patches.reshape(-1, height * width * one.shape[-1]).astype(np.float64)
        total, count = total + patches.T @ patches, count + len(patches)
    return total / count


def round_kernel(steps: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Returns `steps` as whole numbers in [-127, 127] whose products with patches of this second moment stay near.

    Args:
      steps: [filters, n], weights as multiples of their channel's step.
      moment: [n, n], see `second_moment`.

    Returns:
      int8 [filters, n]. Weight after weight is rounded, and those that follow make up for its error.
    """
    damped = moment + _DAMPING * np.mean(np.diag(moment)) * np.eye(len(moment)) + 1e-12 * np.eye(len(moment))
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = steps.astype(np.float64)
    rounded = np.zeros_like(left)
    for place in range(left.shape[1]):
        rounded[:, place] = np.clip(np.rint(left[:, place]), -_LIMIT, _LIMIT)
        error = (left[:, place] - rounded[:, place]) / factor[place, place]
        left[:, place:] -= error[:, None] * factor[place, place:]
    return rounded.astype(np.int8)
