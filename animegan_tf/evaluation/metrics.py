"""How much of its photo a stylized picture keeps, and how near a set of pictures is to a style."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from animegan_tf import images
from animegan_tf.errors import needs_extra

STYLE_LAYERS = ("block1_relu2", "block2_relu2", "block3_relu2", "block3_relu4")
"""VGG19 layers of the style distance: up to conv3_4, where the weights end that are free to pass on."""

_LUMA = np.array([0.299, 0.587, 0.114])


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
    return float(structural_similarity(photo @ _LUMA, stylized @ _LUMA, data_range=255, **window))


class MeanGrams:
    """The mean Gram matrices of a set of pictures, which are added one by one.

    Source: Gatys et al. 2016, eq. 5, with AnimeGAN's normalisation F^T F / (H W C), so that size does not matter.

    Args:
      features: [1, H, W, 3] float32 in [-1, 1], RGB -> {layer: [1, h, w, C]}; see models.vgg19 and STYLE_LAYERS.
    """

    def __init__(self, features: Callable[[np.ndarray], Mapping[str, Any]]):
        self.features, self.count = features, 0
        self._sums: dict[str, np.ndarray] = {}

    def add(self, pixels: np.ndarray) -> None:
        """Adds a picture, [H, W, 3] uint8 RGB."""
        for layer, values in self.features(images.to_float(pixels)[None]).items():
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
