"""Styles with choices: labels, style pictures, codes and variations give what the network gives, in every backend."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import ImageError, UsageError
from animegan_tf.images import pad_to_multiple, to_float, to_uint8
from animegan_tf.manifest import read_manifest, write_manifest
from animegan_tf.runtime.backends import BACKENDS
from animegan_tf.runtime.codes import StyleCode, blend_codes
from animegan_tf.runtime.stylizer import Stylizer


@pytest.fixture(scope="module")
def stylizer(tiny_style):
    """Returns the tiny style, which has nothing to choose."""
    return Stylizer.load(tiny_style)


def assert_within_a_level(actual, expected):
    assert actual.dtype == np.uint8
    np.testing.assert_allclose(actual.astype(int), expected, atol=1)


@pytest.fixture(scope="module", params=BACKENDS)
def scenes(request, label_style):
    """Returns the label style, loaded with each backend in turn."""
    return Stylizer.load(label_style, request.param)


@pytest.fixture(scope="module", params=BACKENDS)
def painter(request, code_style):
    """Returns the style that follows a style picture, loaded with each backend in turn."""
    return Stylizer.load(code_style, request.param)


@pytest.fixture
def pixels(rng):
    """Returns [40, 48, 3] uint8: sizes that need no padding."""
    return rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)


def test_what_a_style_has_to_choose_from(stylizer, scenes, painter):
    assert (stylizer.classes, stylizer.encodes_style) == ((), False)
    assert (scenes.classes, scenes.encodes_style) == (("hokusai", "duelyst", "monet"), False)
    assert (painter.classes, painter.encodes_style) == ((), True)


@pytest.mark.parametrize(
    ("label", "weights"),
    [
        ("hokusai", (1, 0, 0)),
        ("monet", (0, 0, 1)),
        ({"duelyst": 3}, (0, 1, 0)),
        ({"monet": 1.5, "hokusai": 0.5}, (0.25, 0, 0.75)),
        ({"monet": 0, "hokusai": 0.5}, (1, 0, 0)),
    ],
)
def test_label_equals_the_network(label, weights, scenes, label_reference, pixels):
    expected = to_uint8(label_reference(to_float(pixels), np.array(weights, np.float32)))
    assert_within_a_level(scenes(pixels, label=label), expected)
    assert_within_a_level(scenes.stylize(pixels, scenes.look(label=label)), expected)


def test_code_and_variation_equal_the_network(painter, encoder_reference, code_reference, pixels, rng):
    style = rng.integers(0, 256, (64, 50, 3), dtype=np.uint8)
    code = painter.encode(style)
    np.testing.assert_allclose(code.values, encoder_reference(to_float(style)), atol=1e-6)
    assert (code.values.dtype, code.style, code.name) == (np.float32, "painter", "")
    for variation in (None, 0, 7):
        noise = np.zeros(16, np.float32)
        if variation is not None:
            noise = np.random.default_rng(variation).standard_normal(16, np.float32)
        expected = to_uint8(code_reference(to_float(pixels), code.values, noise))
        assert_within_a_level(painter(pixels, code=code, variation=variation), expected)


def test_blended_codes_equal_the_network(painter, code_reference, pixels):
    first, second = (painter.encode(np.full((32, 32, 3), level, np.uint8)) for level in (0, 160))
    expected = code_reference(to_float(pixels), 0.25 * first.values + 0.75 * second.values, np.zeros(16, np.float32))
    assert_within_a_level(painter(pixels, code=blend_codes([(first, 1), (second, 3)])), to_uint8(expected))


def test_style_picture_of_any_kind_gives_the_same_code(code_style, tmp_path, rng):
    painter, pixels = Stylizer.load(code_style), rng.integers(0, 256, (40, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wave.png")
    expected = painter.encode(pixels).values
    data = (tmp_path / "wave.png").read_bytes()
    for picture, name in ((tmp_path / "wave.png", "wave"), (data, ""), (Image.fromarray(pixels), "")):
        code = painter.encode(picture)
        np.testing.assert_array_equal(code.values, expected)
        assert code.name == name


def test_style_picture_is_shrunk_to_a_side_of_512_and_padded_to_32(code_style, encoder_reference, rng):
    painter, pixels = Stylizer.load(code_style), rng.integers(0, 256, (20, 1024, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(pixels).resize((512, 10), Image.Resampling.LANCZOS))
    expected = encoder_reference(to_float(pad_to_multiple(small, 1, 32)))
    np.testing.assert_allclose(painter.encode(pixels).values, expected, atol=1e-6)


def test_code_of_one_backend_serves_every_other(code_style, pixels):
    code = Stylizer.load(code_style, "onnx").encode(pixels)
    expected = Stylizer.load(code_style, "onnx")(pixels, code=code)
    for backend in BACKENDS:
        assert_within_a_level(Stylizer.load(code_style, backend)(pixels, code=code), expected)


def test_name_of_a_result_holds_the_choice(label_style, code_style, tmp_path):
    for name in ("photo.jpg", "wave.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    scenes, painter, photo = Stylizer.load(label_style), Stylizer.load(code_style), tmp_path / "photo.jpg"
    wave = painter.encode(tmp_path / "wave.png")
    unnamed = painter.encode(np.zeros((32, 32, 3), np.uint8))
    for path, name in (
        (scenes(photo, label="monet"), "photo_scenes-monet.jpg"),
        (scenes(photo, label={"monet": 0.7, "hokusai": 0.3}), "photo_scenes-monet70-hokusai30.jpg"),
        (painter(photo, code=wave), "photo_painter-wave.jpg"),
        (painter(photo, code=wave, variation=7), "photo_painter-wave-7.jpg"),
        (painter(photo, code=unnamed), "photo_painter.jpg"),
    ):
        assert path == tmp_path / name
        assert path.exists()


def test_name_of_a_result_is_one_file_name_whatever_a_code_or_a_label_is_called(label_style, code_style, tmp_path):
    shutil.copytree(label_style, tmp_path / "style")
    manifest = read_manifest(tmp_path / "style")
    write_manifest(tmp_path / "style", dataclasses.replace(manifest, classes=("x/../../evil", "b", "c")))
    assert Stylizer.load(tmp_path / "style").look(label="x/../../evil").name == "scenes-x_.._.._evil"
    painter = Stylizer.load(code_style)
    code = dataclasses.replace(painter.encode(np.zeros((32, 32, 3), np.uint8)), name='a\0\\b:"?')
    assert painter.look(code=code).name == "painter-a__b___"


CODE = StyleCode(np.zeros(64, np.float32), "other", ("0" * 16,), "wave")


@pytest.mark.parametrize(
    ("style", "choices", "message"),
    [
        (
            "label_style",
            {},
            r"^Style scenes holds several styles: choose one with label \(--label\): hokusai, duelyst, m",
        ),
        ("label_style", {"label": "mone"}, "Unknown label 'mone': known are .* Did you mean 'monet'"),
        ("label_style", {"label": {"monet": 1, "x": 1}}, "Unknown label 'x'"),
        ("label_style", {"label": {"monet": -1}}, "weights of a blend of labels must be 0 or more"),
        ("label_style", {"label": {"monet": 0}}, "weights of a blend of labels must be 0 or more"),
        ("label_style", {"label": {}}, "weights of a blend of labels must be 0 or more"),
        ("label_style", {"label": "monet", "code": CODE}, "Style scenes follows no style picture"),
        ("label_style", {"label": "monet", "variation": 1}, "Style scenes knows no variations"),
        ("code_style", {}, r"^Style painter follows a style picture: choose one with code \(--style-image"),
        ("code_style", {"code": CODE}, "The style code 'wave' was made by style other, not by this style painter"),
        ("code_style", {"code": CODE, "label": "monet"}, "Style painter holds one style: it takes no label"),
        ("tiny_style", {"label": "monet"}, "Style tiny holds one style: it takes no label"),
        ("tiny_style", {"code": CODE}, "Style tiny follows no style picture"),
        ("tiny_style", {"variation": 0}, "Style tiny knows no variations"),
    ],
)
def test_choices_that_a_style_does_not_have_are_usage_errors(style, choices, message, request, pixels):
    stylizer = Stylizer.load(request.getfixturevalue(style))
    with pytest.raises(UsageError, match=message):
        stylizer(pixels, **choices)


def test_variation_is_a_seed(code_style, pixels):
    painter = Stylizer.load(code_style)
    code = painter.encode(pixels)
    with pytest.raises(UsageError, match="variation must be 0 or more, not -1"):
        painter(pixels, code=code, variation=-1)
    first, again, other = (painter(pixels, code=code, variation=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_stylize_asks_for_a_look_where_one_is_needed(label_style, pixels):
    with pytest.raises(UsageError, match="choose one with label"):
        Stylizer.load(label_style).stylize(pixels)


def test_plain_style_encodes_no_picture(stylizer, pixels):
    with pytest.raises(UsageError, match="Style tiny encodes no style picture"):
        stylizer.encode(pixels)


def test_style_picture_that_cannot_be_read_is_an_image_error(code_style, tmp_path):
    with pytest.raises(ImageError, match="nix.png: no such file"):
        Stylizer.load(code_style).encode(tmp_path / "nix.png")
