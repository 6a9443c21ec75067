"""Random changes of a training picture: exact no-ops, hand-computed values, bounds."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from animegan_tf.data.augment import Augmentation, crop_resize, flip, jitter, rotate, saturate
from animegan_tf.errors import ConfigError, MissingExtraError


class _Draws:
    """Stands in for a generator: gives the listed fractions in turn."""

    def __init__(self, *fractions: float):
        self.fractions = list(fractions)

    def random(self) -> float:
        return self.fractions.pop(0)

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.fractions.pop(0)


def _noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_full_crop_of_a_picture_of_the_right_size_is_the_picture():
    image = _noise(256, 256)
    sample = Augmentation(256)(image, np.random.default_rng(5))
    np.testing.assert_array_equal(sample, image)


def test_a_crop_of_the_samples_size_is_not_interpolated():
    image = _noise(40, 60)
    crop = crop_resize(image, _Draws(0.0, 0.25, 0.5), size=20, crop_min=0.5, crop_max=1.0)
    np.testing.assert_array_equal(crop, image[5:25, 20:40])


@pytest.mark.parametrize(("down", "right", "top", "left"), [(0.0, 0.0, 0, 0), (0.999, 0.999, 0, 20)])
def test_the_largest_square_slides_along_the_long_side_only(down, right, top, left):
    image = _noise(40, 60)
    crop = crop_resize(image, _Draws(0.3, down, right), size=40, crop_min=1.0, crop_max=1.0)
    np.testing.assert_array_equal(crop, image[top : top + 40, left : left + 40])


def test_resizing_keeps_a_flat_colour_and_the_order_of_channels():
    image = np.full((50, 70, 3), (10, 120, 250), np.uint8)
    for size in (16, 200):
        crop = crop_resize(image, np.random.default_rng(1), size=size, crop_min=0.3, crop_max=0.9)
        np.testing.assert_array_equal(crop, np.broadcast_to((10, 120, 250), (size, size, 3)))


def test_shrinking_averages_instead_of_skipping_pixels():
    checkerboard = np.indices((128, 128)).sum(axis=0) % 2 * 255
    image = np.repeat(checkerboard.astype(np.uint8)[..., None], 3, axis=2)
    crop = crop_resize(image, _Draws(0, 0, 0), size=16, crop_min=1, crop_max=1)
    assert abs(crop[2:-2, 2:-2].astype(float) - 127.5).max() < 3


def test_the_same_draws_cut_the_same_region_of_a_larger_copy():
    rows, columns = np.mgrid[0:60, 0:80]
    image = np.stack([rows * 4, columns * 3, rows * 0], axis=-1).astype(np.uint8)
    double = image.repeat(2, axis=0).repeat(2, axis=1)
    for seed in range(5):
        first, second = (
            crop_resize(picture, np.random.default_rng(seed), size=30, crop_min=0.5, crop_max=1.0).astype(int)
            for picture in (image, double)
        )
        assert abs(first - second).max() <= 8  # one or two pixels of the ramp


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 50, 3), (50, 1, 3)])
def test_pictures_one_pixel_wide_pass(shape):
    sample = Augmentation(8, 0.1, 1.0, 0.5, 0.2, 0.2)(_noise(*shape[:2]), np.random.default_rng(0))
    assert sample.shape == (8, 8, 3) and sample.dtype == np.uint8


def test_flip_follows_its_probability():
    image = _noise(4, 6)
    np.testing.assert_array_equal(flip(image, _Draws(0.29), probability=0.3), image[:, ::-1])
    assert flip(image, _Draws(0.30), probability=0.3) is image
    assert flip(image, _Draws(0.0), probability=0.0) is image
    np.testing.assert_array_equal(flip(image, _Draws(0.9999), probability=1.0), image[:, ::-1])


def test_brightness_adds_a_fraction_of_the_full_range():
    image = np.array([[[0, 100, 240], [10, 200, 255]]], np.uint8)
    # Draw 0.75 of [-0.2, 0.2] is 0.1, 25.5 levels; rounded half to even, clipped.
    changed = jitter(image, _Draws(0.5, 0.75), brightness=0.2, contrast=0.0)
    np.testing.assert_array_equal(changed, [[[26, 126, 255], [36, 226, 255]]])


def test_contrast_turns_around_each_channels_mean():
    image = np.array([[[100, 0, 7], [120, 40, 7]]], np.uint8)
    # Draw 1.0 of [0.5, 1.5] is 1.5; the means are 110, 20, 7.
    changed = jitter(image, _Draws(1.0, 0.5), brightness=0.0, contrast=0.5)
    np.testing.assert_array_equal(changed, [[[95, 0, 7], [125, 50, 7]]])


def test_jitter_off_is_the_same_array():
    image = _noise(4, 4)
    assert jitter(image, _Draws(0.1, 0.9), brightness=0.0, contrast=0.0) is image


@pytest.mark.parametrize("angle", [-40.0, -7.5, 12.0, 75.0])
@pytest.mark.parametrize("shape", [(48, 48), (40, 56)])
def test_rotation_is_skimages_with_the_picture_reflected_beyond_its_border(angle, shape):
    from skimage import transform

    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = [127 + 100 * np.sin(rows / 5 + columns / 7 + phase) for phase in range(3)]
    image = np.rint(np.stack(waves, axis=-1)).astype(np.uint8)
    turned = rotate(image, _Draws((angle / 90 + 1) / 2), degrees=90)
    expected = transform.rotate(image, angle, order=3, mode="reflect", preserve_range=True)
    assert turned.shape == image.shape and turned.dtype == np.uint8
    assert np.abs(turned - expected).max() < 3  # splines there, a cubic kernel here; half a pixel off would be 12


def test_a_quarter_turn_is_anticlockwise_and_moves_every_pixel_exactly():
    image = _noise(9, 9)
    np.testing.assert_array_equal(rotate(image, _Draws(1.0), degrees=90), np.rot90(image))
    np.testing.assert_array_equal(rotate(image[..., 1], _Draws(0.0), degrees=90), np.rot90(image[..., 1], -1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (5, 2), (32, 32)])
def test_rotation_keeps_a_flat_colour_up_to_the_corners(shape):
    flat = np.full((*shape, 3), (10, 120, 250), np.uint8)
    for seed in range(5):
        np.testing.assert_array_equal(rotate(flat, np.random.default_rng(seed), degrees=180), flat)


def test_saturation_scales_the_distance_from_the_luma():
    image = np.array([[[200, 100, 50], [90, 90, 90], [255, 0, 0]]], np.uint8)
    # Lumas: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; 90; 76.245.
    stronger = saturate(image, _Draws(1.0), amount=0.5)
    np.testing.assert_array_equal(stronger, [[[238, 88, 13], [90, 90, 90], [255, 0, 0]]])
    grey = saturate(image, _Draws(0.0), amount=1.0)
    np.testing.assert_array_equal(grey, [[[124] * 3, [90] * 3, [76] * 3]])


def test_rotation_without_opencv_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match="^Rotation needs opencv-python: pip install "):
        rotate(_noise(4, 4), _Draws(0.9), degrees=5)


def test_rotation_and_saturation_off_are_the_same_array():
    image = _noise(4, 4)
    assert rotate(image, _Draws(0.9), degrees=0.0) is image
    assert saturate(image, _Draws(0.9), amount=0.0) is image


def test_rotation_and_saturation_draw_last_so_that_nothing_else_moves():
    image = _noise(64, 64)
    arguments = {"image_size": 16, "crop_min": 0.4, "crop_max": 0.8, "flip": 0.5, "brightness": 0.1, "contrast": 0.2}
    for seed in range(4):
        plain = Augmentation(**arguments)(image, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        rng.random(6)
        expected = saturate(rotate(plain, rng, degrees=30), rng, amount=0.4)
        both = Augmentation(**arguments, rotation=30, saturation=0.4)(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(both, expected)
        rng = np.random.default_rng(seed)
        rng.random(7)
        one = Augmentation(**arguments, saturation=0.4)(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(one, saturate(plain, rng, amount=0.4))


GEOMETRY = {"image_size": 32, "crop_min": 0.6, "crop_max": 0.9, "flip": 0.5, "rotation": 40}


def test_geometry_is_the_augmentation_without_its_colours():
    image = _noise(50, 60)
    for seed in range(5):
        sample = Augmentation(**GEOMETRY)(image, np.random.default_rng(seed))
        rich = Augmentation(**GEOMETRY, brightness=0.3, contrast=0.3, saturation=0.3)
        for companion, expected in (
            (image, sample),
            (image[..., 1], sample[..., 1]),
            (image[..., :1], sample[..., :1]),
        ):
            taken = rich.geometry(companion, np.random.default_rng(seed))
            np.testing.assert_array_equal(taken, expected)
            assert taken.flags.c_contiguous


def _centroid(plane):
    weights = np.where(plane > 60, plane.astype(float), 0)
    if weights[[0, 1, -2, -1]].any() or weights[:, [0, 1, -2, -1]].any() or not weights.any():
        return None  # cut off by the border
    return np.array([np.average(axis, weights=weights) for axis in np.indices(plane.shape)])


def test_a_dot_in_the_companion_stays_on_the_dot_in_the_photo():
    rows, columns = np.mgrid[:50, :60]
    dot = np.rint(200 * np.exp(-((rows - 21) ** 2 + (columns - 34) ** 2) / 8)).astype(np.uint8)
    photo = np.stack([dot, dot // 2, dot], axis=-1)
    changes = Augmentation(**GEOMETRY, brightness=0.05, contrast=0.1, saturation=0.3)
    places = []
    for seed in range(30):
        here = _centroid(changes(photo, np.random.default_rng(seed))[..., 0])
        there = _centroid(changes.geometry(dot[..., None], np.random.default_rng(seed))[..., 0])
        if here is not None and there is not None:
            assert abs(here - there).max() < 0.3
            places.append(here)
    assert len(places) > 10 and np.ptp(places, axis=0).min() > 8


def test_switching_one_change_off_leaves_the_other_draws():
    image = _noise(64, 64)
    arguments = {"image_size": 16, "crop_min": 0.4, "crop_max": 0.8, "flip": 1.0}
    plain = Augmentation(**arguments | {"flip": 0.0})(image, np.random.default_rng(3))
    flipped = Augmentation(**arguments)(image, np.random.default_rng(3))
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    assert flipped.flags.c_contiguous


def test_the_decoded_side_serves_the_smallest_crop():
    assert Augmentation(256).decode_side == 256
    assert Augmentation(256, 0.8, 1.0).decode_side == 320
    assert Augmentation(100, 0.3, 1.0).decode_side == 334


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"image_size": 0}, "image_size=0"),
        ({"crop_min": 0.0}, "crop_min=0.0"),
        ({"crop_min": 0.9, "crop_max": 0.8}, "crop_max=0.8"),
        ({"crop_max": 1.1}, "crop_max=1.1"),
        ({"flip": 1.5}, "flip=1.5"),
        ({"contrast": -0.1}, "contrast=-0.1"),
        ({"rotation": 180.5}, "rotation=180.5 must be between 0 and 180"),
        ({"saturation": -1}, "saturation=-1"),
    ],
)
def test_impossible_values_are_named(values, named):
    with pytest.raises(ConfigError, match=named):
        Augmentation(**{"image_size": 8} | values)
