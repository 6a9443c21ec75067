"""Gradient penalties: how steep the discriminator's score may be as a function of its picture.

They differentiate twice, and how to differentiate is the backend's business: each takes `gradient_of`, a function
images [B, H, W, C] float32 -> gradient of `critic_score`, summed over the batch, with respect to the images, the
same shape. A picture's score must depend on that picture alone, so the critic must have no batch norm.
"""

from __future__ import annotations

from collections.abc import Callable

from keras import ops

# Inside the square root: at a zero gradient the norm has no derivative.
_EPSILON = 1e-12


def critic_score(logits):
    """Returns one score per picture, [B] float32: the mean over all patches, then over all scales.

    Args:
      logits: [B, h, w, 1], or a list of such maps of any sizes, which then weigh the same.
    """
    maps = logits if isinstance(logits, list | tuple) else [logits]
    scores = [ops.mean(ops.cast(part, "float32"), axis=tuple(range(1, len(part.shape)))) for part in maps]
    return sum(scores) / len(scores)


def wgan_gp(gradient_of: Callable, *, real, fake, mix):
    """Returns mean (|gradient at mix real + (1 - mix) fake| - 1)^2; each picture has its own norm, over H, W and C.

    Source: Gulrajani et al. 2017, Improved Training of Wasserstein GANs, algorithm 1 (its lambda is the term's weight).

    Args:
      gradient_of: see the head of this file.
      real: [B, H, W, 3] float in [-1, 1], pictures the critic should score high.
      fake: the same shape, pictures it should score low.
      mix: [B, 1, 1, 1] float, uniform draws from [0, 1], one per picture.
    """
    real, fake, mix = (ops.cast(x, "float32") for x in (real, fake, mix))
    norm = ops.sqrt(_squared_norm(gradient_of(mix * real + (1.0 - mix) * fake)) + _EPSILON)
    return ops.mean(ops.square(norm - 1.0))


def r1(gradient_of: Callable, *, real, fake, mix):
    """Returns half the mean of |gradient at real|^2. `fake` and `mix` are not used: all penalties are called alike.

    Source: Mescheder et al. 2018, Which Training Methods for GANs do actually Converge?, eq. 9 (its gamma is the
    term's weight).

    Args:
      gradient_of: see the head of this file.
      real: [B, H, W, 3] float in [-1, 1], pictures the critic should score high.
    """
    return 0.5 * ops.mean(_squared_norm(gradient_of(ops.cast(real, "float32"))))


GRADIENT_PENALTIES: dict[str, Callable] = {"wgan_gp": wgan_gp, "r1": r1}


def _squared_norm(gradient):
    return ops.sum(ops.square(ops.cast(gradient, "float32")), axis=(1, 2, 3))
