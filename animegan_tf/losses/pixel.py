"""Losses on pictures [B, H, W, 3] float in [-1, 1], RGB."""

from __future__ import annotations

import numpy as np
from keras import ops

# tf.image.rgb_to_yuv's kernel: columns are Y, U, V.
_RGB_TO_YUV = np.array(
    [
        [0.299, -0.14714119, 0.61497538],
        [0.587, -0.28886916, -0.51496512],
        [0.114, 0.43601035, -0.10001026],
    ],
    "float32",
)
# scikit-image's linear sRGB to XYZ, transposed, each column divided by D65's white of the 2 degree observer.
_RGB_TO_XYZ = (
    np.array([[0.412453, 0.35758, 0.180423], [0.212671, 0.71516, 0.072169], [0.019334, 0.119193, 0.950227]])
    / np.array([[0.95047], [1.0], [1.08883]])
).T.astype("float32")
# Columns are L, a, b; rows the cube roots of X, Y, Z. L lacks its constant -16.
_ROOTS_TO_LAB = np.array([[0.0, 500.0, 0.0], [116.0, -500.0, 200.0], [0.0, 0.0, -200.0]], "float32")
_RGB_TO_GRAY = np.array([[0.2989], [0.5870], [0.1140]], "float32")
_FLATNESS = 24.0
_EDGE_EPSILON = 1e-6
_CEL_STEP = 0.03
_GRID_PERIOD, _GRID_CELLS = 8, 8  # px, and periods along a side of a window


def gray(image):
    """Returns [B, H, W, 3] float32, the luminance of RGB in all three channels, the same range.

    Source: `tf.image.rgb_to_grayscale`, as AnimeGANv3 maps pictures to grey.
    """
    return ops.repeat(ops.matmul(ops.cast(image, "float32"), _RGB_TO_GRAY), 3, axis=-1)


def rgb_to_yuv(image):
    """Returns [B, H, W, 3] float32 YUV of RGB in [0, 1]: Y in [0, 1], U and V around 0. Source: ITU-R BT.601."""
    return ops.matmul(ops.cast(image, "float32"), _RGB_TO_YUV)


def rgb_to_lab(image):
    """Returns [B, H, W, 3] float32 CIELAB of sRGB in [0, 1]: L in [0, 100], a and b within about 110 of 0.

    Source: CIE 1976 with white D65, 2 degree observer, as skimage.color.rgb2lab.
    """
    image = _float(image)
    # Powers see clamped values: at 0 their slope is infinite, and in the branch not taken it would still give NaN.
    curved = ops.power((ops.maximum(image, 0.04045) + 0.055) / 1.055, 2.4)
    xyz = ops.matmul(ops.where(image > 0.04045, curved, image / 12.92), _RGB_TO_XYZ)
    roots = ops.power(ops.maximum(xyz, 0.008856), 1.0 / 3.0)
    roots = ops.where(xyz > 0.008856, roots, 7.787 * xyz + 16.0 / 116.0)
    return ops.matmul(roots, _ROOTS_TO_LAB) - np.array([16.0, 0.0, 0.0], "float32")


def l1(first, second):
    """Returns the mean absolute difference of two pictures of any one range."""
    return ops.mean(ops.abs(_float(first) - _float(second)))


def huber(error):
    """Returns mean of 0.5 e^2 where |e| <= 1, else |e| - 0.5. Source: Huber 1964, delta 1."""
    size = ops.abs(error)
    return ops.mean(ops.where(size <= 1.0, 0.5 * ops.square(error), size - 0.5))


def color(photo, stylized):
    """Returns L1 of Y plus Huber of U plus Huber of V between photo and result, taken in [0, 1].

    Source: AnimeGAN, eq. 6, colour reconstruction loss.
    """
    difference = rgb_to_yuv((_float(photo) + 1.0) / 2.0) - rgb_to_yuv((_float(stylized) + 1.0) / 2.0)
    return ops.mean(ops.abs(difference[..., 0])) + huber(difference[..., 1]) + huber(difference[..., 2])


def lab_color(photo, stylized):
    """Returns 2 L1 of L / 100 plus L1 of a / 255 plus L1 of b / 255 between photo and result.

    Source: AnimeGANv3's colour loss; it writes (a + 128) / 255, where the 128 cancels.
    """
    difference = rgb_to_lab((_float(photo) + 1.0) / 2.0) - rgb_to_lab((_float(stylized) + 1.0) / 2.0)
    lightness, a, b = (ops.mean(ops.abs(difference[..., channel])) for channel in range(3))
    return lightness / 50.0 + (a + b) / 255.0


def edge_map(image):
    """Returns [B, H-2, W-2] float32: Sobel's gradient magnitude of the luminance in [0, 1], without the border.

    A straight outline of black against white has magnitude 1; where nothing changes it is 0.001, so that the
    slope of the square root stays finite.

    Args:
      image: [B, H, W, 3] float in [-1, 1], RGB, at least 3 x 3.
    """
    luminance = rgb_to_yuv((_float(image) + 1.0) / 2.0)[..., 0]
    across = (luminance[:, :, :-2] + 2.0 * luminance[:, :, 1:-1] + luminance[:, :, 2:]) / 4.0
    along = (luminance[:, :-2] + 2.0 * luminance[:, 1:-1] + luminance[:, 2:]) / 4.0
    down, right = across[:, 2:] - across[:, :-2], along[:, :, 2:] - along[:, :, :-2]
    return ops.sqrt(ops.square(down) + ops.square(right) + _EDGE_EPSILON)


def edge(photo, stylized):
    """Returns L1 between the edge maps of photo and result: a line drawn counts as a line lost.

    Source: UE-AnimeGANv2's edge loss. Differs: its text names no operator; ours is Sobel's, see `edge_map`.
    """
    return ops.mean(ops.abs(edge_map(photo) - edge_map(stylized)))


def landmark(photo, stylized, face):
    """Returns L1 between photo and result around facial landmarks, averaged over the pictures that show a face.

    It is 0 in a batch without faces.
    Differs: ours in detail; the idea, weighted L1 around the landmarks, is mobile AnimeGANv2's.

    Args:
      photo, stylized: [B, H, W, 3] float in [-1, 1].
      face: [B, H, W, 1] float in [0, 1], weight of each pixel; all 0 where there is no face.
    """
    face = _float(face)
    area = ops.sum(face, axis=(1, 2, 3))
    error = ops.sum(face * ops.abs(_float(photo) - _float(stylized)), axis=(1, 2, 3)) / (3.0 * area + 1e-6)
    faces = ops.sum(ops.cast(area > 0.0, "float32"))
    return ops.sum(error) / ops.maximum(faces, 1.0)


def likeness(picture, stylized):
    """Returns L1 between picture and result plus twice the L1 of the differences of neighbours, which draw lines."""
    picture, stylized = _float(picture), _float(stylized)
    steps = zip(_gradients(picture), _gradients(stylized), strict=True)
    return l1(picture, stylized) + 2.0 * sum(l1(wanted, step) for wanted, step in steps)


def chroma_contrast(photo, stylized):
    """Returns L1 of U plus L1 of V between photo and result in [0, 1], each less its mean over the picture.

    A style may tint the whole picture freely, but what differs in hue goes on differing.
    Differs: ours; in AnimeGAN's colour loss Huber makes U and V count for next to nothing beside Y.
    """
    kept, found = _contrasts(photo, stylized)
    return 2.0 * ops.mean(ops.abs(kept[..., 1:] - found[..., 1:]))


def tone_contrast(photo, stylized):
    """Returns L1 of Y between photo and result in [0, 1], each less its mean, plus L1 of the differences of neighbours.

    A style may brighten or darken the whole picture, but what is lighter than the rest stays so, and edges stay edges.
    Differs: ours.
    """
    kept, found = (values[..., :1] for values in _contrasts(photo, stylized))
    return l1(kept, found) + sum(
        l1(wanted, step) for wanted, step in zip(_gradients(kept), _gradients(found), strict=True)
    )


def total_variation(stylized):
    """Returns half the mean squared difference of neighbours, vertical plus horizontal.

    Source: AnimeGANv2, tools/ops.py: l2_loss(dh) / N_dh + l2_loss(dw) / N_dw, on values in [-1, 1].
    """
    down, right = _gradients(_float(stylized))
    return 0.5 * ops.mean(ops.square(down)) + 0.5 * ops.mean(ops.square(right))


def flat_variation(photo, stylized):
    """Returns the mean absolute difference of neighbours in the result, weighted by how flat the photo is there.

    The weight exp(-24 |gradient of the photo's grey|) is 1 in a clear sky and near 0 at an edge: calm areas stay
    calm while lines are drawn freely.
    Differs: ours; total variation punishes ink lines and paper grain alike.
    """
    terms = zip(_calm(photo), _gradients(_float(stylized)), strict=True)
    return sum(ops.mean(weight * ops.abs(step)) for weight, step in terms)


def cel(stylized):
    """Returns mean d^2 / (d^2 + s^2) over the differences d of neighbours in the result, s = 0.03 in [-1, 1].

    About the share of neighbours that differ by more than four levels of 255. It grows no further for a sharp edge,
    and so asks for areas of one colour with lines between them, as a cel is painted.
    Source: Geman and McClure 1987's function, as a smooth form of the L0 gradient norm of Xu et al. 2011.
    """
    squares = [ops.square(step) for step in _gradients(_float(stylized))]
    return 0.5 * sum(ops.mean(square / (square + _CEL_STEP**2)) for square in squares)


def grid(photo, stylized):
    """Returns how much of the result repeats every 8 px within windows of 64 px, where the photo is flat.

    Where its input is constant, the output of a network with strides repeats with their product, and may be a grid of
    dots. The differences of the result to its means over 8 x 8 px are weighted by how flat the photo is around, the
    mean over 8 x 8 px of `flat_variation`'s weight to the fourth power, and averaged over each window by their place
    in a cell of 8 x 8. What belongs to the picture averages out, a grid adds up. Returned is 16 times the mean of the
    absolute averages, less their mean. At the right and lower border a rest of less than a window is left out.
    Differs: ours; what evaluation.grid measures, as a loss.

    Args:
      photo, stylized: [B, H, W, 3] float in [-1, 1], at least 72 x 72; of smaller ones 0.
    """
    down, right = _calm(photo)
    picture = _float(stylized)
    # A window of one period holds every place once, so that a slope adds the same to all of them.
    first, last = (_GRID_PERIOD - 1) // 2, -(_GRID_PERIOD // 2)
    apart = picture[:, first:last, first:last] - _means_of_cells(picture)
    apart = apart[:, :-1, :-1] * _means_of_cells(down[:, :, :-1] * right[:, :-1]) ** 4
    side = _GRID_PERIOD * _GRID_CELLS
    high, wide = apart.shape[1] // side, apart.shape[2] // side
    if not high * wide:
        return 0.0
    cells = (high, _GRID_CELLS, _GRID_PERIOD, wide, _GRID_CELLS, _GRID_PERIOD, 3)
    places = ops.mean(ops.reshape(apart[:, : high * side, : wide * side], (-1, *cells)), axis=(2, 5))
    places = places - ops.mean(places, axis=(2, 4), keepdims=True)
    return 16.0 * ops.mean(ops.abs(places))


COLOR_LOSSES = {"yuv": color, "lab": lab_color}


def _contrasts(photo, stylized):
    """Returns (of the photo, of the result): YUV in [0, 1] less each picture's mean, [B, H, W, 3]."""
    yuv = [rgb_to_yuv((_float(image) + 1.0) / 2.0) for image in (photo, stylized)]
    return [values - ops.mean(values, axis=(1, 2), keepdims=True) for values in yuv]


def _calm(photo):
    """Returns exp(-24 |differences of neighbours of the photo's grey|), vertical and horizontal."""
    gray = ops.mean(_float(photo), axis=-1, keepdims=True)
    return [ops.exp(-_FLATNESS * ops.abs(step)) for step in _gradients(gray)]


def _means_of_cells(image):
    """Returns the mean over every 8 x 8 px: [B, H, W, C] -> [B, H - 7, W - 7, C]."""
    high, wide = (length - _GRID_PERIOD + 1 for length in image.shape[1:3])
    rows = sum(image[:, first : first + high] for first in range(_GRID_PERIOD))
    return sum(rows[:, :, first : first + wide] for first in range(_GRID_PERIOD)) / _GRID_PERIOD**2


def _gradients(image):
    return image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]


def _float(x):
    return ops.cast(x, "float32")
