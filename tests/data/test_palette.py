"""The palette map on sets of colours whose answer is known, and as part of a sample."""

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from animegan_tf.data.abstraction import abstract
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.palette import Palette, match_palette
from animegan_tf.data.pipeline import build_samples

_GREY = np.repeat(np.arange(40, 160, dtype=np.uint8)[:, None], 3, axis=1)


def _colors(rng, low=60, high=180, count=4000):
    return rng.integers(low, high, (count, 3)).astype(np.uint8)


def test_a_table_is_read_linearly(rng):
    table = rng.uniform(0, 255, (5, 5, 5, 3))
    picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    expected = RegularGridInterpolator([np.linspace(0, 255, 5)] * 3, table)(picture)
    assert np.abs(Palette(table)(picture) - expected).max() <= 1.0


def test_equal_sets_change_nothing(rng):
    picture = _colors(rng).reshape(50, 80, 3)
    found = match_palette(picture.reshape(-1, 3), picture.reshape(-1, 3))(picture)
    assert np.abs(found.astype(int) - picture).max() <= 2


def test_greys_made_lighter_stay_grey():
    # The quantiles of 40..159 are moved to those of 80..199, 40 levels up.
    found = match_palette(_GREY, _GREY + np.uint8(40))(_GREY[None])[0].astype(int)
    assert np.abs(found - (_GREY.astype(int) + 40))[20:-20].max() <= 6
    assert np.ptp(found, axis=1)[20:-20].max() <= 4


def test_the_means_meet_and_the_strength_is_a_share_of_the_way(rng):
    source, target = _colors(rng), _colors(rng, 100, 240) // np.array([1, 1, 2], np.uint8)
    picture = source.reshape(50, 80, 3)
    whole = match_palette(source, target)(picture).reshape(-1, 3).mean(0)
    half = match_palette(source, target, 0.5)(picture).reshape(-1, 3).mean(0)
    assert np.abs(whole - target.mean(0)).max() < 8
    assert np.abs(half - (source.mean(0) + whole) / 2).max() < 2
    np.testing.assert_array_equal(match_palette(source, target, 0.0)(picture), picture)


def test_the_reddest_becomes_the_reddest(rng):
    source = np.concatenate([_colors(rng, 90, 110), np.array([[200, 40, 40]] * 400, np.uint8)])
    target = np.concatenate([_colors(rng, 150, 170), np.array([[160, 90, 80]] * 400, np.uint8)])
    red, plain = match_palette(source, target)(np.array([[[200, 40, 40], [100, 100, 100]]], np.uint8))[0].astype(int)
    assert red[0] - red[2] > 40 and np.abs(plain - 160).max() < 12


def test_a_sample_is_in_the_colours_of_the_style(picture_dirs):
    augmentation = Augmentation(32, 0.8, 1.0, 0.0, 0.0, 0.0)
    folders = {"photo_dir": picture_dirs[0], "style_dir": picture_dirs[1], "smooth_dir": None}
    changes = {"photo_augmentation": augmentation, "style_augmentation": augmentation, "seed": 1}
    plain, colored = (build_samples(**folders, **changes, extras=("abstraction",)) for _ in range(2))
    colored.match_palette(1.0, seed=1)
    before, found = (np.stack([samples.sample(index)[-1] for index in range(40)]) for samples in (plain, colored))
    styles = np.stack([colored.style.stream.sample(index) for index in range(40)])
    np.testing.assert_array_equal(before[3], abstract(plain.sample(3)[0]))
    np.testing.assert_array_equal(found[3], colored.palette(before[3]))
    colored.match_palette(1.0, seed=1, first=True)
    photo = plain.sample(3)[0]
    recolored = colored.palette(photo)
    np.testing.assert_array_equal(colored.sample(3)[-1], abstract(photo, recolored=recolored))
    distance = [np.abs(part.mean((0, 1, 2)) - styles.mean((0, 1, 2))).max() for part in (before, found)]
    assert distance[1] < 0.5 * distance[0]
