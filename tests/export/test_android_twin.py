"""The code of docs/android.md: its twin in Python gives the pictures that the Stylizer gives."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.export import parity
from animegan_tf.export.style_folder import describe, write_style_folder
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
DOCS = Path(__file__).resolve().parents[2] / "docs"
SAID = {"name": "toy", "system": "fast", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def draw_photo(seed: int, height: int, width: int) -> np.ndarray:
    """Returns uint8 [H, W, 3]: smooth colours of the whole range, as areas of a photo are."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def twin():
    """Returns the module docs/android_twin.py."""
    spec = importlib.util.spec_from_file_location("android_twin", DOCS / "android_twin.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def style(tmp_path_factory, new_generator):
    """Returns a style folder of a small `fast` in every TFLite precision, for any size and for 144x176."""
    generator, out = new_generator("fast", 8), tmp_path_factory.mktemp("android") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SIZES", ((64, 64),))
        # Of random weights nothing is expected.
        patch.setattr(parity, "MEAN_TOLERANCES", dict.fromkeys(parity.MEAN_TOLERANCES, 1.0))
        write_style_folder(
            generator,
            describe(generator, **SAID),
            out=out,
            formats=("tflite",),
            precisions=PRECISIONS,
            fixed_size=(144, 176),
            calibration=[draw_photo(seed, 64, 64) for seed in range(4)],
        )
    return out


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_twin_gives_what_the_stylizer_gives(twin, style, precision):
    model, stylizer = (
        twin.StyleModel.open(style / f"model_{precision}.tflite"),
        Stylizer.load(style, "tflite", precision),
    )
    for number, size in enumerate(((64, 96), (33, 57), (33, 57), (1, 1))):
        photo = draw_photo(number, *size)
        found = model.stylize(photo)
        assert found.dtype == np.uint8 and found.shape == photo.shape
        assert np.abs(found.astype(int) - stylizer(photo)).max() <= (0 if precision == "int8" else 1)
    assert model.allocated == (88, 88)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_file_of_one_size_gives_the_same_in_the_picture(twin, style, precision):
    fixed = twin.StyleModel.open(style / f"model_{precision}_144x176.tflite")
    assert fixed.fixed_size == (144, 176)
    for size in ((64, 96), (50, 71)):
        photo = draw_photo(20, *size)
        expected = Stylizer.load(style, "tflite", precision)(photo).astype(int)
        difference = np.abs(fixed.stylize(photo) - expected)
        # What lies beyond the margin of the smaller input is the photo's reflection here and zeros there.
        assert difference.mean() < 0.2 and difference.max() <= 3


def test_a_photo_too_large_for_a_file_of_one_size_is_shrunk_to_fit(twin, style):
    fixed = twin.StyleModel.open(style / "model_float32_144x176.tflite")
    assert fixed.stylize(draw_photo(21, 200, 192)).shape == (64, 61, 3)
    assert fixed.stylize(draw_photo(21, 20, 192)).shape == (10, 96, 3)


def test_every_function_of_the_kotlin_has_its_twin(twin):
    kotlin = "\n".join(re.findall(r"```kotlin\n(.*?)```", (DOCS / "android.md").read_text(), flags=re.DOTALL))
    model = kotlin.split("class StyledCamera")[0]
    names = set(re.findall(r"fun (\w+)\(", model)) - {"close", "make", "makeBuffers", "openOnGpu"}
    here = set(vars(twin)) | set(vars(twin.StyleModel))
    assert {re.sub(r"([A-Z])", lambda letter: f"_{letter[1].lower()}", name) for name in names} <= here
    for number in ("127.5", "MINIMUM_SIDE = 32", "about.json"):
        assert number in model
