"""Pictures for calibration, drawn."""

import numpy as np
from PIL import Image


def draw_photo(seed: int, height: int, width: int) -> np.ndarray:
    """Returns uint8 [H, W, 3]: smooth colours of the whole range, as areas of a photo are."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
