"""backends: the three compute the same, at every size, and fail with one sentence."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from animegan_tf.errors import MissingExtraError, ServingError, StyleError, UnknownNameError, UsageError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.manifest import digest, read_manifest, write_manifest
from animegan_tf.runtime.backends import BACKENDS, Backend, load_backend

SIZES = ((32, 32), (40, 64), (32, 32), (8, 8))


@pytest.fixture
def own_style(tiny_style, tmp_path):
    """Returns a copy of the tiny style whose files a test may change."""
    return shutil.copytree(tiny_style, tmp_path / "own")


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request, tiny_style):
    """Returns each backend in turn, with the tiny style loaded."""
    return load_backend(request.param, tiny_style, read_manifest(tiny_style))


def test_backends_are_keyed_by_the_manifests_format_names():
    assert list(BACKENDS) == ["tflite", "onnx", "saved_model"]
    assert [b.takes_uint8 for b in BACKENDS.values()] == [False, False, True]
    assert [b.takes_any_size for b in BACKENDS.values()] == [False, False, True]


@pytest.mark.parametrize("size", SIZES)
def test_run_equals_the_network(backend, size, tiny_reference, rng):
    image = to_float(rng.integers(0, 256, (1, *size, 3), dtype=np.uint8))
    styled = backend.run(image)
    assert styled.dtype == np.float32
    tolerance = 0.5 / 127.5 + 1e-6 if backend.takes_uint8 else 1e-6
    np.testing.assert_allclose(styled[0], tiny_reference(image[0]), atol=tolerance)


def test_run_pixels_agree_within_one_level_for_changing_sizes(backend, tiny_reference, rng):
    for size in SIZES:
        pixels = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        styled = backend.run_pixels(pixels)
        assert styled.dtype == np.uint8
        expected = to_uint8(tiny_reference(to_float(pixels[0])))
        np.testing.assert_allclose(styled[0].astype(int), expected, atol=1)


def test_threads_may_share_a_backend_with_different_sizes(backend, tiny_reference, rng):
    pictures = [rng.integers(0, 256, (1, *size, 3), dtype=np.uint8) for size in SIZES * 4]
    with ThreadPoolExecutor(4) as pool:
        for pixels, styled in zip(pictures, pool.map(backend.run_pixels, pictures), strict=True):
            np.testing.assert_allclose(styled[0].astype(int), to_uint8(tiny_reference(to_float(pixels[0]))), atol=1)


def test_a_number_of_threads_can_be_asked_for(tiny_style):
    for name in ("tflite", "onnx"):
        backend = load_backend(name, tiny_style, read_manifest(tiny_style), threads=1)
        assert backend.run(np.zeros((1, 8, 8, 3), np.float32)).tolist() == np.zeros((1, 8, 8, 3)).tolist()


def test_unknown_backend_lists_the_known(tiny_style):
    with pytest.raises(UnknownNameError, match="'tflight': known are onnx, saved_model, tflite.*'tflite'"):
        load_backend("tflight", tiny_style, read_manifest(tiny_style))


def test_precision_that_the_style_lacks_lists_what_it_has(tiny_style):
    with pytest.raises(UsageError, match="has no tflite file of precision float16: its files are tflite float32, "):
        load_backend("tflite", tiny_style, read_manifest(tiny_style), "float16")


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("tflite", "ai_edge_litert.interpreter", "pip install ai-edge-litert"),
        ("onnx", "onnxruntime", r"pip install 'animegan-tf\[onnx\]'"),
        ("saved_model", "tensorflow", r"pip install 'animegan-tf\[train\]'"),
    ],
)
def test_missing_package_names_the_pip_line(name, module, line, tiny_style, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # what Python does for a package that is not there
    with pytest.raises(MissingExtraError, match=f"The {name} backend needs .*: {line}$"):
        load_backend(name, tiny_style, read_manifest(tiny_style))


def test_package_that_is_there_but_broken_is_not_called_missing(tiny_style, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("import a_library_it_needs")
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StyleError, match="cannot be loaded by onnx: No module named 'a_library_it_needs'"):
        load_backend("onnx", tiny_style, read_manifest(tiny_style))


def test_changed_file_is_not_loaded(own_style):
    with open(own_style / "model_float32.tflite", "ab") as file:
        file.write(b"more")
    with pytest.raises(StyleError, match="model_float32.tflite is damaged or was changed"):
        load_backend("tflite", own_style, read_manifest(own_style))


@pytest.mark.parametrize("name", BACKENDS)
def test_file_that_is_no_model_is_a_style_error(name, own_style):
    manifest = read_manifest(own_style)
    path = own_style / manifest.find(name).path
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        file.write_bytes(b"not a model")
    files = tuple(dataclasses.replace(f, sha256=digest(own_style / f.path)) for f in manifest.files)
    write_manifest(own_style, dataclasses.replace(manifest, files=files))
    with pytest.raises(StyleError, match=f"cannot be loaded by {name}: .*[^.]\\.$"):
        load_backend(name, own_style, read_manifest(own_style))


def test_failure_inside_a_runtime_is_a_style_error_and_the_next_picture_works(backend):
    channels = 4
    with pytest.raises(StyleError, match=f"{backend.format} failed on a picture of 16x8: "):
        backend.run(np.zeros((1, 8, 16, channels), np.float32))
    np.testing.assert_allclose(backend.run(np.zeros((1, 8, 16, 3), np.float32)), 0, atol=0.02)


class Broken(Backend):
    """A backend that returns what it is told to."""

    format = "broken"

    def __init__(self, result: np.ndarray):
        super().__init__(Path())
        self.result = result

    def _load(self, path, threads, role):
        pass

    def _compute(self, image, further):
        return self.result


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.full((1, 8, 8, 3), np.nan, np.float32), "computed values that are no numbers for a picture of 8x8"),
        (np.zeros((1, 4, 8, 3), np.float32), r"made \[1, 4, 8, 3\] of a picture of 8x8"),
    ],
)
def test_result_that_is_no_picture_is_a_style_error(result, message):
    with pytest.raises(StyleError, match=message):
        Broken(result).run(np.zeros((1, 8, 8, 3), np.float32))


def test_an_error_of_ours_is_not_wrapped_in_another(monkeypatch):
    def refuse(*_):
        raise ServingError("The server is away.")

    backend = Broken(np.zeros((1, 8, 8, 3), np.float32))
    monkeypatch.setattr(backend, "_compute", refuse)
    with pytest.raises(ServingError, match=r"^The server is away\.$"):
        backend.run(np.zeros((1, 8, 8, 3), np.float32))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (np.full((1, 64), np.inf, np.float32), "computed values that are no numbers"),
        (np.zeros((1, 8, 8, 3), np.float32), r"made float32 \[1, 8, 8, 3\] of a style picture, which is no code"),
        (np.zeros((2, 64), np.float32), r"made float32 \[2, 64\] of a style picture"),
        (np.zeros((1, 64), np.uint8), r"made uint8 \[1, 64\] of a style picture"),
    ],
)
def test_code_that_is_none_is_a_style_error(code, message):
    with pytest.raises(StyleError, match=message):
        Broken(code).encode(np.zeros((1, 8, 8, 3), np.uint8))


# Models with further inputs


@pytest.fixture(scope="module", params=BACKENDS)
def label_backend(request, label_style):
    """Returns each backend in turn, with the label style loaded."""
    return load_backend(request.param, label_style, read_manifest(label_style))


@pytest.fixture(scope="module", params=BACKENDS)
def code_backend(request, code_style):
    """Returns each backend in turn, with the code style's generator loaded."""
    return load_backend(request.param, code_style, read_manifest(code_style))


def one_hot(index: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[index : index + 1]


def tolerance(backend: Backend) -> float:
    return 0.5 / 127.5 + 1e-6 if backend.takes_uint8 else 1e-6


def test_each_label_and_a_blend_equal_the_network(label_backend, label_reference, rng):
    blend = np.array([[0.5, 0, 0.5]], np.float32)
    for size, label in zip(SIZES, (one_hot(0), one_hot(1), one_hot(2), blend), strict=True):
        pixels = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
        expected = label_reference(to_float(pixels[0]), label[0])
        styled = label_backend.run(to_float(pixels), label=label)[0]
        np.testing.assert_allclose(styled, expected, atol=tolerance(label_backend))
        np.testing.assert_allclose(
            label_backend.run_pixels(pixels, label=label)[0].astype(int), to_uint8(expected), atol=1
        )


def test_threads_may_share_a_backend_with_different_labels(label_backend, label_reference, rng):
    image = to_float(rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8))
    labels = [one_hot(index) for index in (0, 1, 2)] * 4
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda label: label_backend.run(image, label=label), labels)
        for label, styled in zip(labels, results, strict=True):
            expected = label_reference(image[0], label[0])
            np.testing.assert_allclose(styled[0], expected, atol=tolerance(label_backend))


def test_inputs_are_matched_by_name_and_not_by_place(code_backend, code_reference, rng):
    image = to_float(rng.integers(0, 256, (1, 16, 8, 3), dtype=np.uint8))
    code, noise = (rng.standard_normal((1, size), np.float32) for size in (64, 16))
    styled = code_backend.run(image, noise=noise, code=code)
    expected = code_reference(image[0], code[0], noise[0])
    np.testing.assert_allclose(styled[0], expected, atol=tolerance(code_backend))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("size", [(32, 32), (40, 33)])
def test_encode_equals_the_network_at_every_size(name, size, code_style, encoder_reference, rng):
    encoder = load_backend(name, code_style, read_manifest(code_style), role="style_encoder")
    pixels = rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)
    code = encoder.encode(pixels)
    assert (code.shape, code.dtype) == ((1, 64), np.float32)
    np.testing.assert_allclose(code[0], encoder_reference(to_float(pixels[0])), atol=1e-6)


@pytest.mark.parametrize(
    ("further", "message"),
    [
        ({}, r"The model takes label \[3\], not an image alone"),
        ({"lable": np.zeros((1, 3), np.float32)}, r"takes label \[3\], not lable"),
        ({"label": np.zeros((1, 4), np.float32)}, "failed on a picture of 8x8: "),
    ],
)
def test_further_inputs_that_the_model_does_not_take_are_style_errors(further, message, label_backend):
    image = np.full((1, 8, 8, 3), 0.5, np.float32)
    with pytest.raises(StyleError, match=message):
        label_backend.run(image, **further)
    with pytest.raises(StyleError, match=message):
        label_backend.run_pixels(to_uint8(image), **further)


def test_plain_model_takes_nothing_further(backend):
    with pytest.raises(StyleError, match="The model takes an image alone, not label"):
        backend.run(np.zeros((1, 8, 8, 3), np.float32), label=one_hot(0))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"its inputs are image, label \[3\] instead of image\."),
        ({"label": (4,)}, r"its inputs are image, label \[3\] instead of image, label \[4\]"),
        ({"code": (3,)}, r"its inputs are image, label \[3\] instead of image, code \[3\]"),
        ({"label": (3,), "noise": (16,)}, r"its inputs are image, label \[3\] instead of image, label \[3\], noise"),
    ],
)
def test_model_whose_inputs_are_not_the_manifests_is_a_style_error(name, inputs, message, label_style):
    manifest = dataclasses.replace(read_manifest(label_style), inputs=inputs)
    with pytest.raises(StyleError, match=f"cannot be loaded by {name}: {message}"):
        load_backend(name, label_style, manifest)


def test_style_without_an_encoder_is_a_usage_error(tiny_style):
    for name in BACKENDS:
        with pytest.raises(UsageError, match=f"'tiny' has no {name} style encoder file: its files are none"):
            load_backend(name, tiny_style, read_manifest(tiny_style), role="style_encoder")


def test_saved_model_without_the_encoders_signature_is_a_style_error(label_style):
    with pytest.raises(StyleError, match="cannot be loaded by saved_model: it has no signature encode_style"):
        BACKENDS["saved_model"](label_style / "saved_model", role="style_encoder")
