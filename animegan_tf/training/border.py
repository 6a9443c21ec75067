"""What a generator is to draw at the border of a picture: the same as where the picture goes on.

Convolutions see zeros beyond a border, as if the picture ended on mid-grey there, and a trained network draws something
else along it: a frame, which a margin of further pixels keeps off the result, at the price of their time. A network
that has learned its borders needs less of a margin.

Source: ours; self-distillation on crops, of which the network's own result on the whole crop is the target.
"""

from __future__ import annotations

from keras import ops

_BEYOND = 1.25  # colours are drawn from this times the range and cut off: white, black and full colours are common


def cut_borders(photo, draws):
    """Returns pictures with borders of their own: [B, S, S, 3] -> [B, S/2, S/2, 3], S a multiple of 32.

    The first is of one colour, on which a frame is seen soonest; the others are the middles of the photos.

    Args:
      photo: float RGB in [-1, 1].
      draws: three numbers in [0, 1], any shape, of the colour.
    """
    middles = _middle(photo)
    color = ops.clip(_BEYOND * (2.0 * ops.reshape(draws, (1, 1, 1, 3)) - 1.0), -1.0, 1.0)
    flat = ops.broadcast_to(ops.cast(color, middles.dtype), (1, *middles.shape[1:]))
    return ops.concatenate([flat, middles[1:]], axis=0)


def border_difference(found, stylized):
    """Returns the mean absolute difference to what the pictures of `cut_borders` are without a border.

    Args:
      found: [B, S/2, S/2, 3] float in [-1, 1], stylized `cut_borders`.
      stylized: [B, S, S, 3], the stylized photos; they are taken as given, no gradient goes into them.
    """
    found = ops.cast(found, "float32")
    side = found.shape[1] // 4
    inside = found[:1, side:-side, side:-side]
    flat = ops.broadcast_to(ops.mean(inside, axis=(1, 2), keepdims=True), found[:1].shape)
    wanted = ops.concatenate([flat, ops.cast(_middle(stylized), "float32")[1:]], axis=0)
    return ops.mean(ops.abs(found - ops.stop_gradient(wanted)))


def _middle(pictures):
    side = pictures.shape[1] // 4
    return pictures[:, side:-side, side:-side]
