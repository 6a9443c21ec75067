"""Progressive growing: pictures at a smaller size, and the fade from one size to the next.

Source: Karras et al. 2018, Progressive Growing of GANs, section 2 and figure 2. Differs: the networks of this family
take any size, so pictures grow and no layers are added; the fade blends the pictures alone, as the paper does with
the real ones.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def at_size(batch: dict[str, Any], shrink: int, alpha: Any = None) -> dict[str, Any]:
    """Returns `batch` with every picture [B, S, S, C] reduced to [B, S / shrink, S / shrink, C]; the rest as it is.

    Args:
      batch: streams by name; those of four axes are pictures.
      shrink: a power of 2; 1 keeps the size.
      alpha: scalar in [0, 1]: how far this size is faded in over the next smaller one; None: wholly.
    """
    if shrink == 1 and alpha is None:
        return batch
    return {name: _picture(value, shrink, alpha) if len(value.shape) == 4 else value for name, value in batch.items()}


def _picture(picture, shrink: int, alpha):
    picture = _reduced(picture, shrink)
    if alpha is None:
        return picture
    coarse = ops.repeat(ops.repeat(_reduced(picture, 2), 2, axis=1), 2, axis=2)
    return coarse + ops.cast(alpha, picture.dtype) * (picture - coarse)


def _reduced(picture, factor: int):
    return picture if factor == 1 else ops.average_pool(picture, factor, strides=factor)
