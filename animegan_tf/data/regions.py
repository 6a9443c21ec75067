"""Simplified pictures that AnimeGANv3 learns from: flat regions, and pictures without small gradients.

They run on the CPU in training, one picture at a time, so they are written for speed: milliseconds, not seconds.
"""

from __future__ import annotations

import numpy as np

from animegan_tf.errors import needs_extra

_BETA_MAX = 1e5


def superpixels(image: np.ndarray, *, min_size: int = 50) -> np.ndarray:
    """Returns `image` with every pixel replaced by the mean colour of its region.

    Source: AnimeGANv3's region smoothing: regions of Felzenszwalb and Huttenlocher 2004 with scale 5, sigma 0.8,
    coloured as skimage.color.label2rgb(kind='avg') does, means cut to the level below.

    Args:
      image: [H, W, 3] uint8 RGB.
      min_size: pixels in the smallest region.

    Returns:
      [H, W, 3] uint8 RGB.

    Raises:
      MissingExtraError: scikit-image is not installed.
    """
    with needs_extra("skimage", "scikit-image", "train", "Region smoothing"):
        from skimage.segmentation import felzenszwalb
    return region_means(image, felzenszwalb(image, scale=5, sigma=0.8, min_size=min_size))


def region_means(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns `image` with every pixel replaced by the mean of the pixels with its label, cut to the level below.

    Args:
      image: [H, W, 3] uint8.
      labels: [H, W] int from 0.

    Returns:
      [H, W, 3] uint8.
    """
    flat = labels.ravel()
    count = np.maximum(np.bincount(flat), 1)
    means = [np.bincount(flat, weights=channel) // count for channel in image.reshape(-1, 3).T]
    return np.stack(means, axis=-1).astype(np.uint8)[labels]


def l0_smooth(image: np.ndarray, *, weight: float = 0.005, kappa: float = 2.0) -> np.ndarray:
    """Returns a picture near `image` with few non-zero gradients: flat areas between sharp steps.

    The picture counts as periodic: its left border is the neighbour of its right one, its top of its bottom.
    Source: Xu et al. 2011, Image Smoothing via L0 Gradient Minimization, algorithm 1, with beta_0 = 2 lambda and
    beta_max = 1e5; AnimeGANv3's settings.

    Args:
      image: [H, W, C] float in [0, 1]; the channels share their steps.
      weight: lambda, the price of a gradient.
      kappa: growth of beta from one round to the next, above 1; nearer to 1 is slower and nearer to the optimum.

    Returns:
      [H, W, C] float32, slightly beyond [0, 1] at times.

    Raises:
      MissingExtraError: SciPy is not installed.
    """
    with needs_extra("scipy", "scipy", "train", "L0 smoothing"):
        from scipy import fft  # NumPy's is four times slower on float32
    smooth = np.ascontiguousarray(np.moveaxis(np.asarray(image, np.float32), -1, 0))
    size = smooth.shape[1:]
    spectrum, energy = fft.rfft2(smooth), _gradient_energy(*size)
    beta = 2.0 * weight
    while beta < _BETA_MAX:
        wanted = fft.rfft2(_large_steps(smooth, weight / beta))
        wanted[:, 0, 0] = 0  # what rounding leaves of a sum that is 0; beta would turn it into a tint
        wanted *= np.float32(beta)
        wanted += spectrum
        wanted *= 1 / (1 + np.float32(beta) * energy)  # complex division is slow
        smooth = fft.irfft2(wanted, size)
        beta *= kappa
    return np.ascontiguousarray(np.moveaxis(smooth, 0, -1))


def revision_target(image: np.ndarray, *, denoise: tuple[int, int, int, int] = (5, 6, 5, 7)) -> np.ndarray:
    """Returns what AnimeGANv3's main tail learns to draw for the support tail's `image`: denoised, then L0-smoothed.

    Source: AnimeGANv3; non-local means of Buades et al. 2011, then `l0_smooth`.
    Differs: OpenCV is given BGR, which it expects; the published code gives it RGB, so that red and blue change
    places in the lightness it compares.

    Args:
      image: [H, W, 3] uint8 RGB.
      denoise: OpenCV's h, hColor, templateWindowSize and searchWindowSize; (5, 6, 5, 7) for Hayao, (7, 6, 6, 7) for
        Shinkai.

    Returns:
      [H, W, 3] float32 in [-1, 1], RGB.

    Raises:
      MissingExtraError: OpenCV or SciPy is not installed.
    """
    with needs_extra("cv2", "opencv-python", "train", "Denoising"):
        import cv2
    bgr = np.ascontiguousarray(image[..., ::-1])
    denoised = cv2.fastNlMeansDenoisingColored(bgr, None, *denoise)[..., ::-1]
    return np.clip(l0_smooth(denoised / np.float32(255)) * 2 - 1, -1, 1)


def _large_steps(planes: np.ndarray, least: float) -> np.ndarray:
    """Returns minus the divergence of the steps between neighbours, those of squared size below `least` left out.

    A step's size is that of all channels together, to the right and down. planes: [C, H, W] float32; so is the result.
    """
    right, down = np.roll(planes, -1, 2) - planes, np.roll(planes, -1, 1) - planes
    keep = np.einsum("chw,chw->hw", right, right) + np.einsum("chw,chw->hw", down, down) >= least
    right *= keep
    down *= keep
    return np.roll(right, 1, 2) - right + np.roll(down, 1, 1) - down


def _gradient_energy(height: int, width: int) -> np.ndarray:
    """Returns [H, W // 2 + 1] float32: |F(d/dx)|^2 + |F(d/dy)|^2 of periodic forward differences, on rfft2's grid."""
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    return (4 * np.sin(np.pi * down) ** 2 + 4 * np.sin(np.pi * right) ** 2).astype(np.float32)
