"""The grid of dots that a network with strides may draw into calm areas, which no mean over gradients sees."""

from __future__ import annotations

import numpy as np

from animegan_tf.data.edges import load_cv2
from animegan_tf.evaluation.metrics import luminance

PERIOD = 8
_WINDOW, _CALM = 9, 4.0
_FEW = 64  # calm pixels of a phase, below which nothing is said


def grid_strength(pixels: np.ndarray) -> float | None:
    """Returns how unlike the pixels of an 8 x 8 cell are in calm areas, by their place in it, in levels; 0: no grid.

    Sub-pixels and doubled maps repeat every 2, 4 or 8 pixels, which is called a checkerboard. Of each of the 64 places
    the mean difference of luminance to its surroundings is taken over the whole picture, which is near 0 for whatever
    belongs to the picture; returned is the standard deviation of the 64. Calm is where the luminance deviates by less
    than 4 levels within 9 x 9 pixels; where too little is, and below about 80 pixels a side, nothing can be said: None.
    From about 0.2 on a grid is visible in skies at twice the size; dots that change place with the tone add up to less.

    Args:
      pixels: [H, W, 3] uint8 RGB.
    """
    cv2 = load_cv2("Evaluation")
    values = luminance(pixels).astype(np.float32)
    apart = values - cv2.blur(values, (_WINDOW, _WINDOW))
    calm = cv2.blur(apart**2, (_WINDOW, _WINDOW)) < _CALM**2
    # A window of one period holds every place once, so that a slope adds the same to all of them.
    apart = values - cv2.blur(values, (PERIOD, PERIOD))
    # Beyond the border the window sees a mirror image, in which slopes turn back.
    apart, calm = (part[PERIOD:-PERIOD, PERIOD:-PERIOD] for part in (apart, calm))
    places = [(row, column) for row in range(PERIOD) for column in range(PERIOD)]
    means = []
    for row, column in places:
        chosen = calm[row::PERIOD, column::PERIOD]
        if chosen.sum() < _FEW:
            return None
        means.append(apart[row::PERIOD, column::PERIOD][chosen].mean())
    return float(np.std(means))
