"""Losses on VGG19 features [B, H, W, C]. The target is the first argument and is treated as a constant by callers."""

from __future__ import annotations

from keras import ops


def l1(target, features):
    """Returns mean |target - features| over all elements.

    Source: AnimeGAN's content loss, eq. 4 (the published code takes the mean, the paper writes the norm).
    """
    return ops.mean(ops.abs(_float(target) - _float(features)))


def relative_l2(target, features):
    """Returns sum (target - features)^2 / sum target^2, over each picture, averaged over the batch.

    Differs: ours; free of the layer's scale, so that one weight serves any layer and any picture's contrast.
    """
    target, features = _float(target), _float(features)
    error = ops.sum(ops.square(target - features), axis=(1, 2, 3))
    return ops.mean(error / (ops.sum(ops.square(target), axis=(1, 2, 3)) + 1e-6))


def gram_matrix(features):
    """Returns F^T F / (H W C): [B, C, C] float32.

    Source: Gatys et al. 2016, eq. 5, with AnimeGAN's normalisation.
    """
    features = _float(features)
    _, height, width, channels = ops.shape(features)
    flat = ops.reshape(features, (-1, height * width, channels))
    size = ops.cast(height * width * channels, "float32")
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / size


def gram_l1(target, gram):
    """Returns mean |target - gram| over all elements of the Gram matrices. Source: AnimeGAN, eq. 5."""
    return ops.mean(ops.abs(target - gram))


def gram_relative_l1(target, gram):
    """Returns sum |target - gram| / sum |target| per picture, averaged over the batch.

    target: [B, C, C] or [1, C, C]. Differs: ours; every layer weighs the same whatever its scale.
    """
    error = ops.sum(ops.abs(target - gram), axis=(1, 2))
    return ops.mean(error / (ops.sum(ops.abs(target), axis=(1, 2)) + 1e-6))


CONTENT_LOSSES = {"l1": l1, "relative_l2": relative_l2}
GRAM_LOSSES = {"l1": gram_l1, "relative_l1": gram_relative_l1}


def _float(x):
    return ops.cast(x, "float32")
