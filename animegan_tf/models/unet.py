"""UE-AnimeGANv2's generator: AnimeGANv2's with the skip connections of a U-Net.

Source: the idea of UE-AnimeGANv2, where AnimeGANv2 loses the background's colours and a face's details; its layer table
was never published. What is joined where is ours: each skip ends in a convolution that AnimeGANv2 has anyway.
The other half of the system, the edge loss, is a term of the objective.
"""

from __future__ import annotations

import keras
from keras import ops

from animegan_tf.models.animeganv2 import InvertedResidual, conv_block, fan_in
from animegan_tf.models.layers import PaddedConv2D, chain, upsample_bilinear_tf1
from animegan_tf.models.network import Generator


@keras.saving.register_keras_serializable(package="animegan_tf")
class UEAnimeGANv2Generator(Generator):
    """2,383,168 parameters at width w = 32. See `Generator` for input and output.

    The decoder's map comes first in each concatenation, the encoder's map of the same resolution second:

        H/4   8w from the four inverted residuals + 4w after the encoder's fifth convolution -> 4w
        H/2   4w upsampled                        + 2w after its third                       -> 4w
        H     4w upsampled                        +  w after its first, 7x7                  -> 2w

    Differs: from AnimeGANv2 by these skips alone, 239,616 parameters in three kernels of the decoder.
    """

    published_width = 32
    size_multiple = 4

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        w = self.width
        self.full = [conv_block(w, 7)]
        self.half = [conv_block(2 * w, strides=2), conv_block(2 * w)]
        self.quarter = [conv_block(4 * w, strides=2), conv_block(4 * w)]
        self.middle = [conv_block(4 * w), *(InvertedResidual(8 * w) for _ in range(4))]
        self.join_quarter = [conv_block(4 * w)]
        self.join_half = [conv_block(4 * w), conv_block(4 * w)]
        self.join_full = [conv_block(2 * w), conv_block(2 * w), conv_block(w, 7)]
        self.to_rgb = PaddedConv2D(3, 1, initializer=fan_in())

    def call(self, photo):
        full = chain(photo, self.full)
        half = chain(full, self.half)
        quarter = chain(half, self.quarter)
        x = _join(chain(quarter, self.middle), quarter, self.join_quarter)
        x = _join(upsample_bilinear_tf1(x), half, self.join_half)
        x = _join(upsample_bilinear_tf1(x), full, self.join_full)
        return ops.tanh(ops.cast(self.to_rgb(x), "float32"))


def _join(x, skip, blocks):
    """Returns blocks([x, skip]): [B, H, W, C] and [B, H, W, S] concatenated to C + S channels."""
    return chain(ops.concatenate([x, skip], axis=-1), blocks)
