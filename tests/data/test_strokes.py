"""Brush strokes: what they are made of, where they lie, and what they leave alone."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from animegan_tf.data.abstraction import abstract, smoothed
from animegan_tf.data.edges import load_cv2
from animegan_tf.data.strokes import _flow, add_strokes

SIDE = 96


def stripes(levels: float, period: int = 8) -> np.ndarray:
    """Returns grey vertical stripes, [SIDE, SIDE, 3] uint8, `levels` to either side of 128."""
    wave = 128 + levels * np.sin(2 * np.pi * np.arange(SIDE) / period)
    return np.tile(np.rint(wave).astype(np.uint8)[None, :, None], (SIDE, 1, 3))


def lab_inside(picture: np.ndarray) -> np.ndarray:
    return rgb2lab(picture)[16:-16, 16:-16]


def calm_of(picture: np.ndarray) -> np.ndarray:
    return np.broadcast_to(picture.mean((0, 1)), picture.shape).astype(np.uint8)


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (90, 140, 200)])
def test_what_is_calm_stays_calm(color):
    flat = np.full((SIDE, SIDE, 3), color, np.uint8)
    assert np.abs(add_strokes(flat, flat, 9.0).astype(int) - flat).max() <= 1


def test_texture_is_brought_to_the_contrast_that_is_asked_for():
    deviations = []
    for levels in (6, 12, 24):
        picture = stripes(levels)
        found = lab_inside(add_strokes(calm_of(picture), picture, 9.0))[..., 0].std()
        deviations.append(found / lab_inside(picture)[..., 0].std())
    # 1.6, 3.3 and 6.5 of L*: faint texture gains most, and what is strong enough nothing.
    assert deviations[0] > 3 and deviations[0] > deviations[1] > deviations[2] > 0.8


def test_grain_stays_faint(rng):
    flat = np.full((SIDE, SIDE, 3), 128, np.uint8)
    grain = np.clip(np.rint(128 + rng.normal(0, 0.6, flat.shape)), 0, 255).astype(np.uint8)
    assert lab_inside(add_strokes(flat, grain, 9.0))[..., 0].std() < 1.5


def test_light_strokes_are_warm_and_dark_ones_cool():
    picture = stripes(12)
    found = lab_inside(add_strokes(calm_of(picture), picture, 9.0))
    light, dark = found[found[..., 0] > 56], found[found[..., 0] < 52]
    assert light[:, 2].mean() > 3 and dark[:, 2].mean() < -3


def test_strokes_run_along_the_edges(rng):
    across = stripes(20).astype(float) + rng.normal(0, 8, (SIDE, SIDE, 1))
    picture = np.clip(across, 0, 255).astype(np.uint8)
    found = lab_inside(add_strokes(calm_of(picture), picture, 9.0))[..., 0]
    before = lab_inside(picture)[..., 0]
    along, across = (np.abs(np.diff(found, axis=k)).mean() / np.abs(np.diff(before, axis=k)).mean() for k in (0, 1))
    assert along < 0.6 and across > 0.8


def test_longer_strokes_are_smoother_along_the_edges(rng):
    picture = np.clip(stripes(20) + rng.normal(0, 8, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    along = [
        np.abs(np.diff(lab_inside(add_strokes(calm_of(picture), picture, 9.0, length))[..., 0], axis=0)).mean()
        for length in (0, 2, 6)
    ]
    assert along[0] > 1.5 * along[1] > 1.5 * along[2]


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_has_turned_strokes(rng, turns):
    picture = np.repeat(np.repeat(rng.integers(60, 200, (24, 24, 3), dtype=np.uint8), 4, 0), 4, 1)
    calm = smoothed(picture, 2)
    found = np.rot90(add_strokes(np.rot90(calm, turns).copy(), np.rot90(picture, turns).copy(), 9.0), -turns)
    difference = np.abs(found.astype(int) - add_strokes(calm, picture, 9.0))
    assert np.mean(difference) < 0.5  # the two ends of a flow without direction may be taken the other way round


def test_letters_can_be_read():
    picture = np.full((SIDE, SIDE, 3), 80, np.uint8)
    picture[30:60, 40:42] = picture[30:32, 40:60] = 220  # strokes of a letter
    found = add_strokes(smoothed(picture, 2), picture, 9.0).astype(int)
    assert found[45, 40:42].mean() - found[45, 48:56].mean() > 0.6 * 140


def test_the_flow_follows_the_edges():
    cv2 = load_cv2()
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for angle in (0.0, 0.5, 2.0):
        wave = 50 + 10 * np.sin((x * np.cos(angle) + y * np.sin(angle)) / 3)
        along = np.array([-np.sin(angle), np.cos(angle)])
        found = _flow(wave.astype(np.float32), cv2)[20:-20, 20:-20]
        assert np.abs(found @ along).min() > 0.99


def test_an_abstraction_paints_in_the_colours_it_is_given(rng):
    photo, other = (rng.integers(0, 256, (48, 40, 3), dtype=np.uint8) for _ in range(2))
    found = abstract(photo, lines=0.0, passes=2, strokes=7.0, stroke_length=2, recolored=other)
    np.testing.assert_array_equal(found, add_strokes(smoothed(other, 2), other, 7.0, 2))
    assert (abstract(photo, lines=0.0, passes=2, recolored=other) != found).any()
