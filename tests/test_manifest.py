"""manifest: what is written is read again, and what cannot be trusted is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from animegan_tf.errors import StyleError
from animegan_tf.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Manifest,
    ModelFile,
    digest,
    read_manifest,
    verify_file,
    write_manifest,
)

FLOAT32 = ModelFile("model_float32.tflite", "tflite", "float32", "0" * 64, 10, 1e-6)
FLOAT16 = ModelFile("model_float16.tflite", "tflite", "float16", "1" * 64, 5, 5e-3)
INT8 = ModelFile("model_int8.tflite", "tflite", "int8", "3" * 64, 3, 0.2, mean_error=0.009)
ENCODER = ModelFile("style_encoder.onnx", "onnx", "float32", "2" * 64, 7, 1e-6, role="style_encoder")
MANIFEST = Manifest(
    name="hokusai",
    system="mobile",
    recipe="mobile_hokusai",
    size_multiple=8,
    parameters=92000,
    licence="CC0-1.0",
    credits="woodblock prints: 北斎",
    files=(FLOAT16, FLOAT32),
    extra={"steps": [1, 2]},
)


def test_round_trip(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST


def test_inputs_classes_and_roles_round_trip(tmp_path):
    manifest = dataclasses.replace(
        MANIFEST,
        files=(FLOAT32, ENCODER),
        inputs={"label": (3,), "code": (64,), "noise": (16,)},
        classes=("ink", "油画", "print"),
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


def test_manifests_from_before_further_inputs_stay_readable(tmp_path):
    files = [{k: v for k, v in dataclasses.asdict(file).items() if k != "role"} for file in MANIFEST.files]
    write_changed(tmp_path, files=files, inputs=None, classes=None)
    assert read_manifest(tmp_path) == MANIFEST
    assert (MANIFEST.inputs, MANIFEST.classes, FLOAT32.role) == ({}, (), "generator")


def test_unknown_fields_of_later_versions_are_ignored(tmp_path):
    write_changed(tmp_path, mood="calm")
    assert read_manifest(tmp_path) == MANIFEST


@pytest.mark.parametrize(
    ("format", "precision", "expected"),
    [
        ("tflite", None, FLOAT32),
        ("tflite", "float16", FLOAT16),
        ("tflite", "int8", None),
        ("onnx", None, None),
    ],
)
def test_find_prefers_float32(format, precision, expected):
    assert MANIFEST.find(format, precision) == expected


def test_find_prefers_the_more_exact_of_the_others():
    files = (INT8, dataclasses.replace(FLOAT16, precision="float8"), FLOAT16)
    assert dataclasses.replace(MANIFEST, files=files).find("tflite") == FLOAT16
    assert dataclasses.replace(MANIFEST, files=files[:2]).find("tflite") == INT8
    assert dataclasses.replace(MANIFEST, files=files).find("tflite", "int8") == INT8


def test_the_mean_error_of_int8_round_trips_and_others_have_none(tmp_path):
    manifest = dataclasses.replace(MANIFEST, files=(FLOAT32, INT8))
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert [file.mean_error for file in read_manifest(tmp_path).files] == [None, 0.009]


def test_files_of_one_size_are_kept_apart(tmp_path):
    fixed = dataclasses.replace(FLOAT32, path="model_float32_720x1280.tflite", size=(720, 1280))
    manifest = dataclasses.replace(MANIFEST, files=(fixed, FLOAT16), author="A. Painter")
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.find("tflite") == FLOAT16 and manifest.find("tflite", "float32") is None


def test_precisions_are_chosen_from_exact_to_coarse():
    dynamic = dataclasses.replace(INT8, precision="dynamic_int8")
    assert dataclasses.replace(MANIFEST, files=(INT8, dynamic)).find("tflite") == dynamic
    assert dataclasses.replace(MANIFEST, files=(INT8, dynamic, FLOAT16)).find("tflite") == FLOAT16


def test_find_tells_roles_apart():
    manifest = dataclasses.replace(MANIFEST, files=(ENCODER, FLOAT32))
    assert manifest.find("onnx") is None
    assert manifest.find("onnx", role="style_encoder") == ENCODER
    assert manifest.find("onnx", "float16", "style_encoder") is None
    assert manifest.find("tflite", role="style_encoder") is None


def write_changed(folder, **changes) -> None:
    """Writes MANIFEST with some fields replaced; None removes a field."""
    data = dataclasses.asdict(MANIFEST) | changes
    text = json.dumps({name: value for name, value in data.items() if value is not None})
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"files": None}, "is incomplete"),
        ({"name": None}, "is incomplete: .*'name'"),
        ({"files": [{"path": "a"}]}, "is incomplete"),
        ({"files": 3}, "is incomplete"),
        ({"format_version": FORMAT_VERSION + 1}, "unknown format .*: update animegan-tf"),
        ({"format_version": "1"}, "unknown format"),
        ({"size_multiple": "8"}, "has a size_multiple that is not of type int"),
        ({"size_multiple": 0}, "size_multiple 0; it must be at least 1"),
        ({"receptive_radius": -1}, "receptive_radius -1; it must be at least 0"),
        ({"receptive_radius": 7.5}, "has a receptive_radius that is not of type int | None"),
        ({"files": [dataclasses.asdict(FLOAT32) | {"path": 3}]}, "has a path that is not of type str"),
        ({"files": [dataclasses.asdict(INT8) | {"mean_error": "0.01"}]}, "mean_error that is not of type float | None"),
        ({"name": "../evil"}, "has the name '../evil', which cannot be part of a file name"),
        ({"name": ""}, "cannot be part of a file name"),
        ({"pixel_range": [0.0, 1.0]}, "must be NHWC, RGB"),
        ({"color_order": "BGR"}, "must be NHWC, RGB"),
        ({"inputs": {"mood": [3]}}, "has the input 'mood'; known are label, code, noise"),
        ({"inputs": {"code": [0]}}, r"has the shape \(0,\) for the input code; it must be one positive number"),
        ({"inputs": {"code": [64.0]}}, "must be one positive number"),
        ({"inputs": {"code": [True]}}, "must be one positive number"),
        ({"inputs": {"noise": [4, 4]}}, "must be one positive number"),
        ({"inputs": {"noise": 16}}, "must be one positive number"),
        ({"inputs": ["code"]}, "is incomplete"),
        ({"inputs": {"label": [3]}, "classes": ["ink", "oil"]}, "has 2 classes where its network has 3"),
        ({"inputs": {"label": [3]}}, "has 0 classes where its network has 3"),
        ({"classes": ["ink"]}, "has 1 classes where its network has 0"),
        ({"inputs": {"label": [2]}, "classes": ["ink", "ink"]}, "has two classes of one name"),
        ({"inputs": {"label": [2]}, "classes": ["ink", ""]}, "classes that are not a list of names"),
        ({"inputs": {"label": [2]}, "classes": ["ink", ["oil"]]}, "classes that are not a list of names"),
        ({"inputs": {"label": [2]}, "classes": "ab"}, "classes that are not a list of names"),
        ({"files": [dataclasses.asdict(FLOAT32) | {"role": "critic"}]}, "has a file of the role 'critic'; known are"),
        ({"files": [dataclasses.asdict(FLOAT32) | {"size": [720]}]}, r"of the size \(720,\); it must be two numbers"),
        ({"files": [dataclasses.asdict(FLOAT32) | {"size": [720, "a"]}]}, "it must be two numbers, or null"),
        ({"files": [dataclasses.asdict(FLOAT32) | {"size": 720}]}, "of the size 720; it must be two numbers, or null"),
    ],
)
def test_what_cannot_be_run_is_refused(changes, message, tmp_path):
    write_changed(tmp_path, **changes)
    with pytest.raises(StyleError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "cannot be read"), (b"\xff", "cannot be read"), (b"[]", "unknown format")],
)
def test_what_is_no_manifest_is_refused(content, message, tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(StyleError, match=message):
        read_manifest(tmp_path)


def test_folder_without_manifest_is_no_style(tmp_path):
    with pytest.raises(StyleError, match="is not a style folder: it has no manifest.json"):
        read_manifest(tmp_path)


def test_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_digest_of_a_folder_depends_on_names_and_contents(tmp_path):
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "a").write_bytes(b"abc")
    first = digest(folder)
    assert first == hashlib.sha256(b"a\0" + hashlib.sha256(b"abc").digest()).hexdigest()
    (folder / "a").rename(folder / "b")
    renamed = digest(folder)
    (folder / "b").write_bytes(b"abd")
    assert len({first, renamed, digest(folder)}) == 3


def test_verify_returns_the_path_of_an_unchanged_file(tmp_path):
    path = tmp_path / FLOAT32.path
    path.write_bytes(b"model")
    file = dataclasses.replace(FLOAT32, sha256=digest(path))
    assert verify_file(tmp_path, file) == path
    path.write_bytes(b"Model")
    with pytest.raises(StyleError, match="is damaged or was changed"):
        verify_file(tmp_path, file)


def test_verify_refuses_a_missing_file(tmp_path):
    with pytest.raises(StyleError, match="is missing though manifest.json lists it"):
        verify_file(tmp_path, FLOAT32)


@pytest.mark.parametrize("path", ["../outside.tflite", "/etc/passwd"])
def test_verify_refuses_a_path_outside_the_folder(path, tmp_path):
    with pytest.raises(StyleError, match="lies outside the style folder"):
        verify_file(tmp_path, dataclasses.replace(FLOAT32, path=path))
