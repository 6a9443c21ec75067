"""How much of its photo a stylized picture keeps, and how near a set of pictures is to a style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from animegan_tf.errors import needs_extra

STYLE_LAYERS = ("block1_conv2", "block2_conv2", "block3_conv4")
"""VGG19 layers of the style distance, before ReLU: up to conv3_4, where the weights end that are free to pass on."""

CONTENT_LAYER = "block3_conv4"

CROP_SIDE = 256
"""The networks see the middle of a picture, at most so many pixels a side."""

_LUMA = np.array([299.0, 587.0, 114.0])


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Returns the luminance (ITU-R BT.601), [H, W] float64 in [0, 255], of [H, W, 3] uint8 RGB."""
    return pixels @ _LUMA / 1000  # of whole numbers, so that grey levels stay whole


def centre(pixels: np.ndarray, side: int = CROP_SIDE) -> np.ndarray:
    """Returns the middle of [H, W, C], at most `side` pixels high and wide; a smaller picture keeps its sides."""
    height, width = pixels.shape[:2]
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    return pixels[top : top + side, left : left + side]


def psnr(photo: np.ndarray, stylized: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio over all RGB values in dB, infinite for equal pictures.

    Args:
      photo, stylized: [H, W, 3] uint8 RGB, of one size.
    """
    with needs_extra("skimage", "scikit-image", "train", "Evaluation"):
        from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(photo, stylized, data_range=255))


def ssim(photo: np.ndarray, stylized: np.ndarray) -> float:
    """Returns the structural similarity of the luminance (ITU-R BT.601), 1 for equal pictures.

    Source: Wang et al. 2004: Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03. Luminance, because a style may
    change all colours and still keep the structure.

    Args:
      photo, stylized: [H, W, 3] uint8 RGB, of one size, H and W at least 11.
    """
    with needs_extra("skimage", "scikit-image", "train", "Evaluation"):
        from skimage.metrics import structural_similarity

    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(luminance(photo), luminance(stylized), data_range=255, **window))


class MeanGrams:
    """The mean Gram matrices of a set of pictures, whose features are added one picture at a time.

    Source: Gatys et al. 2016, eq. 5, with AnimeGAN's normalisation F^T F / (H W C), so that size does not matter.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, features: Mapping[str, Any]) -> None:
        """Adds a picture: layer -> [1, h, w, C] float."""
        for layer, values in features.items():
            flat = np.asarray(values, np.float64).reshape(-1, values.shape[-1])
            self._sums[layer] = self._sums.get(layer, 0.0) + flat.T @ flat / flat.size
        self.count += 1

    def mean(self) -> dict[str, np.ndarray]:
        """Returns layer -> [C, C] float64."""
        return {layer: total / self.count for layer, total in self._sums.items()}


def style_distance(pictures: MeanGrams, style: MeanGrams) -> float:
    """Returns sum |G - S| / sum |S| of the mean Gram matrices G of `pictures` and S of `style`, averaged over layers.

    0 for equal sets; a relative error, so that every layer weighs the same. Both sets should be of about one
    resolution. Compare it with the distance of the photos themselves: how far that is depends on the motifs.
    """
    target, found = style.mean(), pictures.mean()
    return float(np.mean([np.abs(found[name] - gram).sum() / np.abs(gram).sum() for name, gram in target.items()]))


def content_distance(photo: np.ndarray, stylized: np.ndarray) -> float:
    """Returns sum (F - P)^2 / sum P^2 of the features F of a result and P of its photo, 0 for equal pictures.

    Source: the content loss of Gatys et al. 2016, eq. 1, divided by the photo's own energy.

    Args:
      photo, stylized: features of one shape, float, of CONTENT_LAYER.
    """
    photo, stylized = np.asarray(photo, np.float64), np.asarray(stylized, np.float64)
    return float(np.square(stylized - photo).sum() / np.square(photo).sum())
