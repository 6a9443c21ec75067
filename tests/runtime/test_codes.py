"""codes: what is written is read again exactly, blends are weighted means, and what cannot be used is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import animegan_tf
from animegan_tf.errors import ImageError, StyleError, UsageError
from animegan_tf.manifest import Manifest, ModelFile
from animegan_tf.runtime import codes
from animegan_tf.runtime.codes import (
    StyleCode,
    blend_codes,
    blend_name,
    model_digests,
    normalised,
    picture_name,
    read_code,
    write_code,
)

FILES = (
    ModelFile("a.onnx", "onnx", "float32", "b" * 64, 1, 0.0),
    ModelFile("a.tflite", "tflite", "float32", "a" * 64, 1, 0.0),
    ModelFile("encoder.tflite", "tflite", "float32", "c" * 64, 1, 0.0, role="style_encoder"),
)
MANIFEST = Manifest("painter", "x", "x", 8, 1, "CC0-1.0", "nobody", FILES, inputs={"code": (4,)})
MODELS = ("a" * 16, "b" * 16)


def make(*values: float, name: str = "wave", models: tuple[str, ...] = MODELS, style: str = "painter") -> StyleCode:
    return StyleCode(np.array(values, np.float32), style, models, name)


def test_package_offers_codes_by_name():
    for name in ("StyleCode", "blend_codes", "read_code", "write_code"):
        assert getattr(animegan_tf, name) is getattr(codes, name)


def test_round_trip_is_exact(tmp_path, rng):
    values = np.concatenate([rng.standard_normal(61, np.float32), np.array([1 / 3, 1e-30, -3e38], np.float32)])
    write_code(tmp_path / "new" / "北斎.json", StyleCode(values, "painter", MODELS, "北斎"))
    code = read_code(tmp_path / "new" / "北斎.json")
    np.testing.assert_array_equal(code.values, values)
    assert (code.values.dtype, code.style, code.models, code.name) == (np.float32, "painter", MODELS, "北斎")
    assert (tmp_path / "new" / "北斎.json").stat().st_size < 2500


def test_a_name_that_is_not_utf_8_is_kept(tmp_path):
    write_code(tmp_path / "code.json", make(1, name="caf\udce9"))
    assert read_code(tmp_path / "code.json").name == "caf\udce9"


def test_code_is_written_safely(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImageError, match="Cannot write .*wave.json: .* is not a folder"):
        write_code(tmp_path / "file" / "wave.json", make(1))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, UsageError, "wave.json: no such file"),
        (b"{", StyleError, "is not a style code"),
        (b"\xff\xd8\xff", StyleError, "is not a style code"),
        (b"[" * 100_000, StyleError, "is not a style code"),
        (b"[1, 2]", StyleError, "is not a style code"),
        (b"{}", StyleError, "is not a style code"),
        ({"format_version": 2}, StyleError, "unknown version: update animegan-tf"),
        ({"values": []}, StyleError, "is a damaged style code: encode"),
        ({"values": "1"}, StyleError, "is a damaged"),
        ({"values": [1, None]}, StyleError, "is a damaged"),
        ({"values": [1, True]}, StyleError, "is a damaged"),
        ({"values": [1, float("nan")]}, StyleError, "is a damaged"),
        ({"values": [1, 1e300]}, StyleError, "is a damaged"),
        ({"values": [1, 10**400]}, StyleError, "is a damaged"),
        ({"models": []}, StyleError, "is a damaged"),
        ({"models": [1]}, StyleError, "is a damaged"),
        ({"style": 3}, StyleError, "is a damaged"),
        ({"name": None}, StyleError, "is a damaged"),
    ],
)
def test_what_is_no_code_is_one_sentence(content, error, message, tmp_path):
    path = tmp_path / "wave.json"
    if isinstance(content, dict):
        write_code(path, make(1, 2))
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_code(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


def test_folder_is_no_code(tmp_path):
    with pytest.raises(StyleError, match="cannot be read"):
        read_code(tmp_path)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([2], [1]), ([3, 1], [0.75, 0.25]), ([0, 5], [0, 1]), ([1e308, 1e308], [0.5, 0.5]), ([1e-320, 0], [1, 0])],
)
def test_weights_are_scaled_to_sum_to_1(weights, expected):
    np.testing.assert_allclose(normalised(weights, "a blend"), expected, rtol=1e-6)
    assert normalised(weights, "a blend").dtype == np.float32


@pytest.mark.parametrize("weights", [[0, 0], [1, -0.5], [float("nan")], [float("inf"), 1], []])
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(UsageError, match="The weights of a blend must be 0 or more and not all 0"):
        normalised(weights, "a blend")


@pytest.mark.parametrize(
    ("names", "weights", "expected"),
    [
        (["monet"], [1], "monet"),
        (["monet", "hokusai"], [0, 1], "hokusai"),
        (["monet", "hokusai"], [0.7, 0.3], "monet70-hokusai30"),
        (["m" * 50, "h" * 50], [0.5, 0.5], "m" * 50 + "50-" + "h" * 7),
    ],
)
def test_name_of_a_blend(names, weights, expected):
    assert blend_name(names, np.array(weights)) == expected


def test_name_of_a_picture_is_its_stem():
    assert picture_name("pictures/the.wave.jpg") == "the.wave"
    assert picture_name("x" * 99 + ".jpg") == "x" * 60


def test_blend_is_the_weighted_mean():
    blend = blend_codes([(make(1, 0, 4), 3), (make(0, 2, 8, name=""), 1)])
    np.testing.assert_allclose(blend.values, [0.75, 0.5, 5])
    assert (blend.values.dtype, blend.style, blend.models, blend.name) == (
        np.float32,
        "painter",
        MODELS,
        "wave75-code25",
    )


def test_blend_of_one_is_that_one():
    code = make(1, 2)
    assert blend_codes([(code, 0.3)]) is code


def test_blend_fits_only_where_all_its_parts_fit():
    blend = blend_codes([(make(1), 1), (make(2, models=("b" * 16, "d" * 16)), 1)])
    assert blend.models == ("b" * 16,)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "no style codes to blend"),
        ([(make(1), 0)], "weights of a blend of style codes must be 0 or more"),
        ([(make(1), 1), (make(2), -1)], "weights of a blend of style codes must be 0 or more"),
        ([(make(1), 1), (make(2, models=("e",), style="other"), 1)], "different models, .*: other, painter"),
        ([(make(1), 1), (make(1, 2), 1)], "different models"),
    ],
)
def test_blends_that_cannot_be_are_usage_errors(pairs, message):
    with pytest.raises(UsageError, match=message):
        blend_codes(pairs)


def test_digests_are_those_of_the_generator_files():
    assert model_digests(MANIFEST) == MODELS


def test_code_fits_any_style_folder_with_a_file_of_its_model():
    make(1, 2, 3, 4).check_fits(MANIFEST)
    make(1, 2, 3, 4).check_fits(dataclasses.replace(MANIFEST, files=FILES[:1]))


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (make(1, 2, 3, 4, models=("e",), style="mono"), UsageError, "'wave' was made by style mono, not by .* painter"),
        (make(1, 2, 3, 4, models=("e",)), UsageError, "was made by another version of style painter"),
        (make(1, 2), StyleError, "'wave' is damaged: it has 2 values"),
    ],
)
def test_code_of_another_model_is_refused(code, error, message):
    with pytest.raises(error, match=message):
        code.check_fits(MANIFEST)
