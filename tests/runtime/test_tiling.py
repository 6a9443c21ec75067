"""Tiles equal the whole picture where the receptive radius is known, and fade into each other where it is not."""

from __future__ import annotations

import dataclasses
import logging
import shutil

import numpy as np
import pytest

from animegan_tf.errors import UsageError
from animegan_tf.images import read_picture, reflect_indices, to_float, to_uint8
from animegan_tf.manifest import Manifest, read_manifest, write_manifest
from animegan_tf.models import build_generator
from animegan_tf.runtime.stylizer import Stylizer, list_styles
from animegan_tf.runtime.tiling import RAMP, _take, build_grid, stylize_strips


def manifest(**fields) -> Manifest:
    """Returns the manifest of a style whose network takes multiples of 8."""
    fields = {"size_multiple": 8, "parameters": 1} | fields
    return Manifest(name="test", system="test", recipe="", licence="", credits="", files=(), **fields)


def stylized(pixels, style, tile, stylize, pads_itself=False):
    """Returns the picture stylized by `stylize` in tiles."""
    grid = build_grid(style, pixels.shape[:2], tile, pads_itself)
    return np.concatenate(list(stylize_strips(lambda first, last: pixels[first:last], grid, stylize)))


# The plan


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(
    ("length", "padded", "before", "start", "stop"),
    [
        (20, 36, 8, 0, 36),
        (20, 36, 8, 8, 28),
        (20, 36, 8, 3, 15),
        (20, 36, 8, 16, 36),
        (5, 32, 13, 0, 32),
        (1, 4, 1, 0, 4),
    ],
)
def test_reflected_rows_and_columns_are_those_of_the_indices(rng, axis, length, padded, before, start, stop):
    pixels = rng.integers(0, 256, (length, length, 3)).astype(np.uint8)
    indices = reflect_indices(length, padded, before)[start:stop]
    np.testing.assert_array_equal(_take(pixels, indices, axis), np.take(pixels, indices, axis))


def test_small_pictures_are_one_piece_and_large_ones_are_not():
    style = manifest(receptive_radius=0)
    assert build_grid(style, (1080, 1920)).tiles == 1
    assert build_grid(style, (2000, 1500)).tiles == 4
    assert build_grid(style, (2000, 2100), None).tiles == 1
    assert build_grid(style, (8, 8), 100).tiles == 1
    assert not build_grid(manifest(), (8, 8), 8).blended and build_grid(manifest(), (8, 800), 80).blended


@pytest.mark.parametrize("tile", [0, -1, "big"])
def test_a_tile_is_a_number_of_pixels(tile):
    with pytest.raises(UsageError, match=f"tile must be 'auto', None or a whole number of pixels from 1, not {tile!r}"):
        build_grid(manifest(), (8, 8), tile)


@pytest.mark.parametrize("radius", [0, 5, 73])
@pytest.mark.parametrize("length", [1, 100, 333, 1000])
@pytest.mark.parametrize("tile", [1, 64, 250])
def test_every_pixel_is_computed_once_from_all_its_surroundings(radius, length, tile):
    """Along an axis: used parts follow each other, and reach no nearer to an inner edge of a tile than the radius."""
    grid = build_grid(manifest(margin=16, receptive_radius=radius), (length, 8), tile)
    padded = len(grid.rows_at)
    assert [span.first for span in grid.rows] == [16, *(span.last for span in grid.rows[:-1])]
    assert grid.rows[-1].last == 16 + length
    for span in grid.rows:
        assert span.start % 8 == 0 and span.stop <= padded
        assert span.start == 0 or span.first - span.start >= radius
        assert span.stop == padded or span.stop - span.last >= radius
    # All windows are of one size, so that a runtime plans its memory once.
    assert len({span.stop - span.start for span in grid.rows}) == 1


@pytest.mark.parametrize(("length", "tile"), [(1500, 300), (1000, 8), (3000, 1024), (1501, 899)])
def test_the_weights_of_a_blend_add_up_to_1_and_step_by_no_more_than_the_ramp_says(length, tile):
    grid = build_grid(manifest(), (length, 8), tile)
    total = np.zeros(length)
    for span in grid.rows:
        total[span.first : span.last] += span.weights
        ramp = min(RAMP, -(-tile // 8) * 8 // 3)
        assert np.abs(np.diff(span.weights)).max(initial=0) <= 1 / ramp + 1e-6
    np.testing.assert_allclose(total, 1, atol=1e-6)


# Equal tiles


@pytest.mark.parametrize(("system", "width"), [("fast", 6), ("mobile", 4), ("dcgan", 4)])
@pytest.mark.parametrize("shape", [(301, 397), (45, 640), (20, 30)])
def test_tiles_equal_the_whole_picture_for_random_weights(system, width, shape, rng):
    network = build_generator(system, width)
    for variable in network.variables:
        if variable.path.endswith("kernel"):  # each layer passes on what it gets: some starts leave a flat picture
            variable.assign(
                rng.normal(0, (2 * max(variable.shape[2:]) / np.prod(variable.shape)) ** 0.5, variable.shape)
            )
        elif variable.path.endswith(("beta", "moving_mean")):  # off the neutral start, so that zero padding shows
            variable.assign(rng.normal(0, 0.3, variable.shape))
    style = manifest(
        size_multiple=network.size_multiple, margin=network.margin, receptive_radius=network.receptive_radius
    )

    def stylize(pixels):
        return to_uint8(np.asarray(network(to_float(pixels)[None], training=False)[0]))

    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    whole = stylized(pixels, style, None, stylize).astype(int)
    assert whole.shape == pixels.shape and whole.std() > 10
    for tile in (64, 150):
        assert np.abs(stylized(pixels, style, tile, stylize) - whole).max() <= 1


EXACT = [name for name in list_styles() if read_manifest(list_styles()[name]).receptive_radius is not None]


def test_the_default_style_tiles_exactly():
    assert "hokusai" in EXACT


@pytest.mark.parametrize("name", EXACT)
def test_tiles_equal_the_whole_picture_in_every_file_of_the_shipped_styles(name, shared_example):
    for file in read_manifest(list_styles()[name]).files:
        stylizer = Stylizer.load(name, file.format, file.precision)
        for shape, tiles in (((333, 517), (128, 200)), ((61, 600), (96,)), ((25, 31), (8,))):
            photo = shared_example[: shape[0], : shape[1]]
            whole = stylizer(photo, tile=None).astype(int)
            for tile in tiles:
                assert np.abs(stylizer(photo, tile=tile) - whole).max() <= 1, (file.path, shape, tile)


@pytest.fixture(scope="module")
def shared_example():
    """Returns the example photo of the documentation, uint8 [360, 720, 3]."""
    from pathlib import Path

    return read_picture(Path(__file__).resolve().parents[2] / "docs/images/example.jpg").pixels


def test_a_radius_that_is_too_small_shows(rng):
    """The tests above would see it: a blur of 9 pixels, declared as one of 3."""

    def blur(pixels):
        padded = np.pad(pixels.astype(float), ((4, 4), (4, 4), (0, 0)))
        total = sum(padded[y : y + len(pixels), x : x + pixels.shape[1]] for y in range(9) for x in range(9))
        return to_uint8(total / 81 / 127.5 - 1)

    pixels = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
    whole = stylized(pixels, manifest(size_multiple=1), None, blur).astype(int)
    for radius, equal in ((4, True), (1, False)):
        found = stylized(pixels, manifest(size_multiple=1, receptive_radius=radius), 40, blur)
        assert np.array_equal(found, whole) == equal


# Blended tiles


def colour_of_tile(pixels):
    """A network that looks at the whole picture: paints all of it in its mean."""
    return np.broadcast_to(np.rint(pixels.mean((0, 1))).astype(np.uint8), pixels.shape)


def test_blended_tiles_step_by_one_level_however_different_they_are():
    """Black on one side and white on the other, tiles between: the worst there is."""
    pixels = np.zeros((1200, 2600, 3), np.uint8)
    pixels[:, 1300:] = 255
    found = stylized(pixels, manifest(), 1024, colour_of_tile).astype(int)
    assert found[0, 0, 0] < 60 and found[0, -1, 0] > 195
    assert np.abs(np.diff(found, axis=1)).max() <= 255 / RAMP + 1  # and one of rounding
    assert np.abs(np.diff(found, axis=0)).max() <= 1


def test_blended_tiles_of_a_local_network_equal_the_whole_picture(rng):
    pixels = rng.integers(0, 256, (700, 900, 3), dtype=np.uint8)
    for pads_itself in (False, True):
        found = stylized(pixels, manifest(), 200, lambda part: 255 - part, pads_itself)
        np.testing.assert_array_equal(found, 255 - pixels)


def test_a_blend_is_said_once(tiny_style, rng, caplog):
    caplog.set_level(logging.INFO, "animegan_tf")
    stylizer = Stylizer.load(tiny_style)
    pixels = rng.integers(0, 256, (150, 150, 3), dtype=np.uint8)
    stylizer(pixels)
    assert caplog.messages == []
    for _ in range(2):
        assert np.abs(stylizer(pixels, tile=32).astype(int) - stylizer(pixels)).max() <= 1
    (message,) = caplog.messages
    assert message.startswith("Style tiny may depend on the whole picture at once: its 16 tiles are blended")


def test_equal_tiles_need_no_word(tiny_style, tmp_path, rng, caplog):
    shutil.copytree(tiny_style, tmp_path / "style")
    declared = dataclasses.replace(read_manifest(tmp_path / "style"), receptive_radius=1)
    write_manifest(tmp_path / "style", declared)
    stylizer, calls = Stylizer.load(tmp_path / "style"), []
    pixels = rng.integers(0, 256, (100, 160, 3), dtype=np.uint8)
    found = stylizer(pixels, tile=50, progress=lambda *numbers: calls.append(numbers))
    np.testing.assert_array_equal(found, stylizer(pixels))
    assert calls == [(number, 6) for number in range(1, 7)] and caplog.messages == []


def test_strips_follow_each_other_and_ask_for_rows_in_order(tiny_style, rng):
    stylizer, asked = Stylizer.load(tiny_style), []
    pixels = rng.integers(0, 256, (500, 40, 3), dtype=np.uint8)

    def read_rows(first, last):
        asked.append((first, last))
        return pixels[first:last]

    strips = list(stylizer.strips(read_rows, (500, 40), tile=64))
    assert len(strips) > 3
    np.testing.assert_array_equal(np.concatenate(strips), stylizer(pixels, tile=64))
    assert asked == sorted(asked) and max(last - first for first, last in asked) < 200


def test_a_large_picture_needs_no_more_memory_than_a_tile(tiny_style, monkeypatch, rng):
    stylizer, sizes = Stylizer.load(tiny_style), []
    run = stylizer.backend.run_pixels
    monkeypatch.setattr(stylizer.backend, "run_pixels", lambda part: sizes.append(part.shape) or run(part))
    stylizer(np.zeros((1500, 1500, 3), np.uint8))
    assert set(sizes) == {(1, 896, 896, 3)}
