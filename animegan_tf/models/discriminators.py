"""Patch discriminators of AnimeGAN and AnimeGANv2: the same convolutions, another norm.

Source: the published code (net/discriminator.py). 1,128,800 trained parameters each at width 32.
"""

from __future__ import annotations

from collections.abc import Callable

import keras

from animegan_tf.models.layers import ConvBlock, InstanceNorm, LayerNorm, SpectralConv2D
from animegan_tf.models.network import Network


def patch_blocks(width: int, norm: Callable) -> list[ConvBlock]:
    """Returns the blocks before the logits: [B, H, W, 3] -> [B, H/4, W/4, 8 * width]. norm(): a normalisation layer."""
    return [
        ConvBlock(SpectralConv2D(width, 3)),
        ConvBlock(SpectralConv2D(2 * width, 3, 2, padding="start")),
        ConvBlock(SpectralConv2D(4 * width, 3), norm()),
        ConvBlock(SpectralConv2D(4 * width, 3, 2, padding="start")),
        ConvBlock(SpectralConv2D(8 * width, 3), norm()),
        ConvBlock(SpectralConv2D(8 * width, 3), norm()),
    ]


@keras.saving.register_keras_serializable(package="animegan_tf")
class PatchDiscriminator(Network):
    """image: [B, H, W, 3] float in [-1, 1], RGB -> logits: [B, H/4, W/4, 1], one per overlapping patch.

    Spectral norm on every convolution; zero padding, at strides 2 on the top and left only.
    Differs: published, the four kinds of pictures pass one after the other and u is renewed four times a step;
    here they pass as one batch and u is renewed once.
    """

    published_width = 32

    def __init__(self, width: int = 0, *, norm: Callable = LayerNorm, **kwargs):
        super().__init__(width, **kwargs)
        self.blocks = patch_blocks(self.width, norm)
        self.logits = SpectralConv2D(1, 3)

    def call(self, image, training=False):
        x = image
        for block in self.blocks:
            x = block(x, training=training)
        return self.logits(x, training=training)


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANDiscriminator(PatchDiscriminator):
    """AnimeGAN's discriminator: instance norm."""

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, norm=InstanceNorm, **kwargs)


@keras.saving.register_keras_serializable(package="animegan_tf")
class AnimeGANv2Discriminator(PatchDiscriminator):
    """AnimeGANv2's discriminator: layer norm over H, W, C."""

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, norm=LayerNorm, **kwargs)
