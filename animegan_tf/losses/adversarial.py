"""Adversarial losses on logits of any shape, each as three scalars: real, fake (discriminator) and generator.

The mean runs over all patches. Statistics are float32 whatever the compute type.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from keras import ops


class AdversarialLoss(NamedTuple):
    """real: the discriminator's loss on logits that should be real; fake: that should be fake; generator: G's loss."""

    real: Callable
    fake: Callable
    generator: Callable


def least_squares(logits, target: float):
    """Returns mean (D(x) - target)^2. Source: Mao et al. 2017, Least Squares GAN, eq. 2."""
    return ops.mean(ops.square(_float(logits) - target))


def least_squares_real(logits):
    """Returns mean (D(x) - 1)^2. Source: as `least_squares`, with b=c=1."""
    return least_squares(logits, 1.0)


def least_squares_fake(logits):
    """Returns mean D(G(x))^2. Source: as `least_squares`, with a=0."""
    return least_squares(logits, 0.0)


def hinge_real(logits):
    """Returns mean max(0, 1 - D(x)). Source: Lim and Ye 2017, Geometric GAN; Miyato et al. 2018, eq. 16."""
    return ops.mean(ops.relu(1.0 - _float(logits)))


def hinge_fake(logits):
    """Returns mean max(0, 1 + D(G(x))). Source: as `hinge_real`."""
    return ops.mean(ops.relu(1.0 + _float(logits)))


def vanilla_real(logits):
    """Returns mean -log sigmoid(D(x)). Source: Goodfellow et al. 2014, eq. 1."""
    return ops.mean(ops.softplus(-_float(logits)))


def vanilla_fake(logits):
    """Returns mean -log(1 - sigmoid(D(G(x)))). Source: as `vanilla_real`."""
    return ops.mean(ops.softplus(_float(logits)))


def negative_mean(logits):
    """Returns -mean D(x): Wasserstein on real logits, and the generator's loss of hinge and Wasserstein."""
    return -ops.mean(_float(logits))


def positive_mean(logits):
    """Returns mean D(G(x)). Source: Arjovsky et al. 2017, Wasserstein GAN, algorithm 1."""
    return ops.mean(_float(logits))


ADVERSARIAL_LOSSES: dict[str, AdversarialLoss] = {
    "lsgan": AdversarialLoss(least_squares_real, least_squares_fake, least_squares_real),
    # Soft labels: AnimeGANv3's, for its grey pictures.
    "lsgan_soft": AdversarialLoss(
        partial(least_squares, target=0.9), partial(least_squares, target=0.1), partial(least_squares, target=0.9)
    ),
    "hinge": AdversarialLoss(hinge_real, hinge_fake, negative_mean),
    # The generator's non-saturating form (section 3 of the paper).
    "vanilla": AdversarialLoss(vanilla_real, vanilla_fake, vanilla_real),
    "wgan": AdversarialLoss(negative_mean, positive_mean, negative_mean),
}


def _float(logits):
    return ops.cast(logits, "float32")
