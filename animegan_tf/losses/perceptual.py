"""Losses on VGG19 features [B, H, W, C]. The target is the first argument and is treated as a constant by callers."""

from __future__ import annotations

from keras import ops


def l1(target, features):
    """Returns mean |target - features| over all elements.

    Source: AnimeGAN's content loss, eq. 4 (the published code takes the mean, the paper writes the norm).
    """
    return ops.mean(ops.abs(_float(target) - _float(features)))


def l2(target, features):
    """Returns mean (target - features)^2 over all elements. Source: Gatys et al. 2016, eq. 1, as a mean."""
    return ops.mean(ops.square(_float(target) - _float(features)))


def relative_l2(target, features):
    """Returns sum (target - features)^2 / sum target^2, over each picture, averaged over the batch.

    Differs: ours; free of the layer's scale, so that one weight serves any layer and any picture's contrast.
    """
    target, features = _float(target), _float(features)
    error = ops.sum(ops.square(target - features), axis=(1, 2, 3))
    return ops.mean(error / (ops.sum(ops.square(target), axis=(1, 2, 3)) + 1e-6))


def feature_distance(target, features):
    """Returns mean |target - features| over all elements, divided by the number of channels.

    Source: AnimeGANv3's distance V, on VGG19 block4_conv4 (512 channels) before ReLU.
    """
    return l1(target, features) / features.shape[-1]


def gram_matrix(features, centered: bool = False):
    """Returns F^T F / (H W C): [B, C, C] float32.

    Source: Gatys et al. 2016, eq. 5, with AnimeGAN's normalisation; `centered`: AnimeGANv3, "decentralisation".

    Args:
      features: [B, H, W, C].
      centered: take each channel's mean over the picture off first. What remains is how channels vary together,
        free of the picture's overall brightness.
    """
    features = _float(features)
    if centered:
        features = features - ops.mean(features, axis=(1, 2), keepdims=True)
    _, height, width, channels = ops.shape(features)
    flat = ops.reshape(features, (-1, height * width, channels))
    size = ops.cast(height * width * channels, "float32")
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / size


def gram_l1(target, gram):
    """Returns mean |target - gram| over all elements of the Gram matrices. Source: AnimeGAN, eq. 5."""
    return ops.mean(ops.abs(target - gram))


def gram_l1_per_channel(target, gram):
    """Returns `gram_l1` divided by the number of channels. Source: AnimeGANv3's style loss."""
    return gram_l1(target, gram) / gram.shape[-1]


def gram_l2(target, gram):
    """Returns sum (target - gram)^2 per picture, the squared Frobenius norm, averaged over the batch.

    target: [B, C, C] or [1, C, C]. Source: Gatys et al. 2016, eq. 4, without its factor 1 / 4.
    """
    return ops.mean(ops.sum(ops.square(target - gram), axis=(1, 2)))


def gram_relative_l1(target, gram):
    """Returns sum |target - gram| / sum |target| per picture, averaged over the batch.

    target: [B, C, C] or [1, C, C]. Differs: ours; every layer weighs the same whatever its scale.
    """
    error = ops.sum(ops.abs(target - gram), axis=(1, 2))
    return ops.mean(error / (ops.sum(ops.abs(target), axis=(1, 2)) + 1e-6))


CONTENT_LOSSES = {"l1": l1, "l1_per_channel": feature_distance, "l2": l2, "relative_l2": relative_l2}
GRAM_LOSSES = {"l1": gram_l1, "l1_per_channel": gram_l1_per_channel, "l2": gram_l2, "relative_l1": gram_relative_l1}


def _float(x):
    return ops.cast(x, "float32")
