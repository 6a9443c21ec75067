"""The abstraction of a photo on pictures whose result is known: flat, grainy, and with one edge."""

import numpy as np
import pytest

from animegan_tf.data.abstraction import abstract


def test_a_flat_picture_stays_as_it_is_without_lines():
    photo = np.full((32, 40, 3), (10, 120, 250), np.uint8)
    np.testing.assert_array_equal(abstract(photo, lines=0.0), photo)


def test_grain_goes_and_an_edge_stays(rng):
    photo = np.full((64, 64, 3), 60, np.int16)
    photo[:, 32:] = 190
    grainy = (photo + rng.integers(-12, 13, photo.shape)).astype(np.uint8)
    calm = abstract(grainy, lines=0.0).astype(float)
    sides = calm[8:-8, 8:24], calm[8:-8, 40:56]
    assert all(side.std() < grainy[8:-8, 8:24].std() / 3 for side in sides)
    assert abs(sides[0].mean() - 60) < 2 and abs(sides[1].mean() - 190) < 2
    assert calm[32, 33, 0] - calm[32, 30, 0] > 110


def test_a_line_lies_on_the_dark_side_of_an_edge_alone():
    photo = np.full((64, 64, 3), 120, np.uint8)
    photo[:, 32:] = 200
    plain, drawn = abstract(photo, lines=0.0).astype(int), abstract(photo, lines=0.8).astype(int)
    darker = (plain - drawn)[32, :, 0]
    assert darker[30:32].min() > 60 and darker[:26].max() == 0 and darker[33:].max() == 0


@pytest.mark.parametrize("lines", [0.25, 0.5, 1.0])
def test_a_pixel_on_a_strong_line_loses_that_share_of_its_brightness(lines):
    photo = np.full((64, 64, 3), 120, np.uint8)
    photo[:, 32:] = 250
    plain, drawn = abstract(photo, lines=0.0).astype(float), abstract(photo, lines=lines).astype(float)
    np.testing.assert_allclose(drawn[32, 31], (1 - lines) * plain[32, 31], atol=1.5)


def _lightness(grey: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab

    return rgb2lab(np.repeat(grey[..., None], 3, axis=-1) / 255.0)[..., 0]


def test_areas_are_those_of_other_colours_and_contours_those_of_both():
    """A photo with an edge on the left; in other colours that one is gone, and one on the right has come."""
    photo, other = np.full((2, 24, 64, 3), 150, np.uint8)
    photo[:, :20], other[:, 44:] = 60, 40
    found = abstract(photo, lines=0.5, passes=1, recolored=other)[12, :, 0].astype(int)
    assert found[17:20].min() < 100 and found[5] == 150  # the line of an edge that the colours have lost
    assert found[44:47].min() < 25 and found[60] == 40
    np.testing.assert_array_equal(abstract(photo, lines=0.0, passes=1, recolored=other), abstract(other, 0.0, 1))


def test_lightness_is_drawn_to_the_middles_of_its_levels():
    ramp = np.tile(np.linspace(20, 235, 600).astype(np.uint8), (16, 1))
    found = abstract(np.repeat(ramp[..., None], 3, axis=-1), lines=0.0, passes=1, levels=4)
    assert np.ptp(found, axis=-1).max() <= 1  # grey stays grey
    given, drawn = _lightness(ramp)[8], _lightness(found[..., 0])[8]
    # Four steps of 25: S-shaped around each bound between two of them.
    bound = 25 * np.rint(given / 25)
    expected = bound + 12.5 * np.tanh(4 * (given - bound) / 25) / np.tanh(2)
    assert np.abs(drawn - expected)[8:-8].max() < 1.0
    assert np.abs(drawn - given).max() > 3


def test_more_passes_take_more_away(rng):
    photo = np.clip(rng.normal(120, 20, (48, 48, 1)), 0, 255).astype(np.uint8).repeat(3, -1)
    spread = [abstract(photo, lines=0.0, passes=passes).std() for passes in (1, 2, 4)]
    assert spread[0] > spread[1] > spread[2]
