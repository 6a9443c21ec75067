"""What ships: every style is complete, credited, runs in every runtime alike and does what a style should."""

from pathlib import Path

import numpy as np
import pytest

from animegan_tf.evaluation.cost import count_macs
from animegan_tf.images import MINIMUM_SIDE, pad_to_multiple, read_picture, to_float, to_uint8
from animegan_tf.manifest import ModelFile, verify_file
from animegan_tf.recipe_files import list_recipes
from animegan_tf.runtime.backends import load_backend
from animegan_tf.runtime.stylizer import Stylizer, list_styles, read_style

STYLES = list_styles()
SIZES = [(256, 256), (192, 320), (101, 137)]
EXAMPLE = Path(__file__).resolve().parents[2] / "docs/images/example.jpg"


def test_hokusai_ships():
    assert "hokusai" in STYLES


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_complete_and_free(name):
    manifest, folder = read_style(name), STYLES[name]
    assert manifest.name == folder.name == name
    assert manifest.licence in ("CC0-1.0", "CC-BY-4.0") and "public domain" in manifest.credits
    assert manifest.description and manifest.training_steps >= 1000
    assert all(manifest.find("tflite", precision) for precision in ("float32", "float16", "int8"))
    assert manifest.find("onnx") and manifest.find("tflite", "int8").mean_error <= 0.012
    for file in manifest.files:
        assert verify_file(folder, file).exists()
    listed = {file.path for file in manifest.files} | {"manifest.json", "preview.jpg"}
    assert {path.name for path in folder.iterdir()} == listed


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_small_and_quick_enough_for_phones(name):
    manifest = read_style(name)
    assert manifest.parameters <= 400_000
    assert count_macs(STYLES[name], manifest, 256) <= 600_000_000


@pytest.mark.parametrize("name", STYLES)
def test_the_margin_keeps_the_frame_of_zero_padding_away(name):
    """With the trained weights, too: what a wider margin changes is not seen, see export/margin.py."""
    manifest, photo = read_style(name), read_picture(EXAMPLE).pixels
    backend = load_backend("tflite", STYLES[name], manifest)

    def change(pixels, width):
        results = []
        for margin in (manifest.margin, manifest.margin + 64):
            padded = pad_to_multiple(pixels, manifest.size_multiple, margin=margin)
            inner = slice(margin, margin + 128), slice(margin, margin + width)
            results.append(127.5 * backend.run(to_float(padded)[None])[0][inner])
        return np.abs(results[0] - results[1])

    def on_sides(found):
        return max(np.rot90(found, turns)[:48].mean(1).max() for turns in range(4))

    for top in (0, 80, 160):
        found = change(photo[top : top + 128, :160], 160)
        assert on_sides(found.mean(2)) < 5.0 and not found[56:-56, 56:-56].any()
    for level in (0, 30, 128, 225, 255):
        assert on_sides(change(np.full((128, 128, 3), level, np.uint8), 128)) <= 2.0


def test_all_styles_are_small_enough_to_ship():
    files = [path for folder in STYLES.values() for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 12_000_000


@pytest.mark.parametrize("name", STYLES)
def test_a_style_was_made_by_a_recipe_that_ships(name):
    assert read_style(name).recipe in list_recipes()


def _run(name: str, file: ModelFile, photo: np.ndarray) -> np.ndarray:
    """Returns what the backend computes of `photo`, padded as the runtime does: float32, of a SavedModel uint8."""
    manifest, (height, width) = read_style(name), photo.shape[:2]
    backend, margin = load_backend(file.format, STYLES[name], manifest, file.precision), manifest.margin
    if backend.takes_any_size:
        return backend.run_pixels(photo[None])[0]
    padded = pad_to_multiple(photo, manifest.size_multiple, MINIMUM_SIDE, margin)
    return backend.run(to_float(padded)[None])[0, margin : margin + height, margin : margin + width]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STYLES)
def test_every_file_computes_what_the_float32_file_does(name, size):
    manifest, photo = read_style(name), read_picture(EXAMPLE).pixels[100 : 100 + size[0], 300 : 300 + size[1]]
    reference = _run(name, manifest.find("tflite", "float32"), photo)
    assert reference.shape == (*size, 3)
    for file in manifest.files:
        found = _run(name, file, photo)
        if found.dtype == np.uint8:
            assert np.abs(found.astype(int) - to_uint8(reference)).max() <= 1, file.path
        elif file.precision == "int8":
            assert np.abs(found - reference).mean() <= 0.02, file.path
        else:
            assert np.abs(found - reference).max() <= {"float32": 1e-3, "float16": 1e-2}[file.precision], file.path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", STYLES)
def test_every_file_gives_the_same_picture(name, size):
    photo = read_picture(EXAMPLE).pixels[100 : 100 + size[0], 300 : 300 + size[1]]
    assert photo.shape == (*size, 3)
    expected = Stylizer.load(name)(photo).astype(int)
    for file in read_style(name).files:
        difference = np.abs(Stylizer.load(name, file.format, file.precision)(photo) - expected)
        if file.precision == "int8":
            assert difference.mean() <= 0.012 * 127.5, file.path
        else:
            assert difference.max() <= (2 if file.precision == "float16" else 1), file.path


@pytest.mark.parametrize("name", STYLES)
def test_calm_areas_stay_calm_and_the_picture_changes(name):
    stylizer = Stylizer.load(name)
    for level in (30, 128, 225):
        flat = stylizer(np.full((96, 96, 3), level, np.uint8)).astype(int)
        # No checkerboard and no grain on a flat picture, and at its border no more than the margin allows.
        assert np.ptp(flat[24:-24, 24:-24], axis=(0, 1)).max() <= 1 and np.ptp(flat, axis=(0, 1)).max() <= 5
    photo = read_picture(EXAMPLE).pixels
    assert np.abs(stylizer(photo).astype(int) - photo).mean() > 15
