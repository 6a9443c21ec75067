"""--backend auto: the fastest wins, is remembered, and is measured again when anything changed."""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time

import numpy as np
import pytest

from animegan_tf.errors import StyleError, UsageError
from animegan_tf.manifest import read_manifest
from animegan_tf.runtime import choice
from animegan_tf.runtime.stylizer import Stylizer


class Paced:
    """A backend that takes as long as it is told; times are milliseconds, the last one is repeated."""

    def __init__(self, *times):
        self.times = list(times)

    def run_pixels(self, pixels, **further):
        time.sleep((self.times.pop(0) if len(self.times) > 1 else self.times[0]) / 1000)
        return pixels


@pytest.fixture
def paced(monkeypatch, tmp_path):
    """Returns (backend -> Paced, the list of those loaded): what is measured instead of real backends."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    speeds, loaded = {"tflite": Paced(8), "onnx": Paced(4), "saved_model": Paced(3)}, []

    def load(name, *_):
        loaded.append(name)
        return speeds[name]

    monkeypatch.setattr(choice, "load_backend", load)
    return speeds, loaded


def choose(style, precision=None, threads=None):
    return choice.fastest_backend(style, read_manifest(style), precision, threads)


def test_what_follows_no_number_of_threads_is_not_asked_where_one_is_given(tiny_style, paced):
    paced[0]["saved_model"].times = [1]
    assert choose(tiny_style, threads=1) == "onnx" and paced[1] == ["tflite", "onnx"]
    assert choose(tiny_style) == "saved_model"


def test_the_fastest_is_chosen_and_remembered(tiny_style, paced, caplog):
    caplog.set_level(logging.INFO, "animegan_tf")
    # TensorFlow must win by half, because it takes so long to start.
    assert choose(tiny_style) == "onnx"
    assert paced[1] == ["tflite", "onnx", "saved_model"]
    assert caplog.messages[0] == "Measuring once which backend runs tiny fastest here ..."
    assert "onnx it is" in caplog.messages[1]
    (entry,) = json.loads(choice.cache_file().read_text()).values()
    assert (entry["style"], entry["backend"]) == ("tiny", "onnx") and entry["milliseconds"]["tflite"] >= 8
    caplog.clear()
    assert choose(tiny_style) == "onnx"
    assert len(paced[1]) == 3 and caplog.messages == []
    assert [path.name for path in choice.cache_file().parent.iterdir()] == ["backends.json"]


def test_tensorflow_wins_when_it_is_faster_by_half(tiny_style, paced):
    paced[0]["saved_model"].times = [1]
    assert choose(tiny_style) == "saved_model"


def test_threads_versions_processor_and_files_are_measured_for_themselves(tiny_style, paced, monkeypatch):
    choose(tiny_style)
    choose(tiny_style, threads=1)
    assert len(paced[1]) == 5
    monkeypatch.setattr(choice, "_processor", lambda: "another")
    choose(tiny_style)
    assert len(paced[1]) == 8
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99")
    choose(tiny_style)
    assert len(paced[1]) == 11
    assert len(json.loads(choice.cache_file().read_text())) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"%s": 3}', '{"%s": {"backend": "torch"}}', "\0\xff"])
def test_a_damaged_cache_is_measured_again_and_mended(content, tiny_style, paced):
    choose(tiny_style)
    (key,) = json.loads(choice.cache_file().read_text())
    choice.cache_file().write_text(content % key if "%s" in content else content, encoding="latin-1")
    assert choose(tiny_style) == "onnx"
    assert len(paced[1]) == 6
    assert json.loads(choice.cache_file().read_text())[key]["backend"] == "onnx"


def test_a_cache_that_cannot_be_written_costs_a_measurement(tiny_style, paced, tmp_path):
    choice.cache_file().parent.parent.mkdir(parents=True, exist_ok=True)
    choice.cache_file().parent.write_text("a file stands where the folder should be")
    assert [choose(tiny_style), choose(tiny_style)] == ["onnx", "onnx"]
    assert len(paced[1]) == 6


def test_what_was_measured_on_a_busy_machine_is_not_remembered(tiny_style, paced, caplog):
    caplog.set_level(logging.INFO, "animegan_tf")
    paced[0]["onnx"].times = [2, 40, 40, 40, 40, 2]
    assert choose(tiny_style) == "onnx"
    assert "busy" in caplog.messages[-1] and not choice.cache_file().exists()


class Broken:
    """A backend that loads and fails on a picture."""

    def run_pixels(self, pixels, **further):
        raise StyleError("onnx failed on a picture of 512x512: an odd file.")


def test_a_broken_backend_is_left_out_with_a_warning(tiny_style, paced, caplog):
    paced[0]["onnx"] = Broken()
    assert choose(tiny_style) == "saved_model"
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["The onnx backend is left out: onnx failed on a picture of 512x512: an odd file."]
    # Not remembered: mended, it takes part again.
    paced[0]["onnx"] = Paced(1)
    assert choose(tiny_style) == "onnx"


def test_a_file_that_does_not_load_is_left_out(tiny_style, tmp_path, monkeypatch, caplog):
    style = shutil.copytree(tiny_style, tmp_path / "tiny")
    (style / "model.onnx").write_bytes(b"no model")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(choice, "_ROUNDS", 1)
    assert choose(style) == "tflite"
    assert "The onnx backend is left out: " in caplog.text and "is damaged or was changed" in caplog.text
    (style / "model_float32.tflite").unlink()
    with pytest.raises(StyleError, match=r"model_float32\.tflite is missing though manifest\.json lists it"):
        choose(style)


def test_no_home_is_no_cache(tiny_style, paced, monkeypatch, tmp_path):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", no_home)
    if sys.platform != "darwin":  # where the variables say it all, no home is needed
        assert choice.cache_file() == tmp_path / "animegan-tf/backends.json"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    assert [choose(tiny_style), choose(tiny_style)] == ["onnx", "onnx"]
    assert len(paced[1]) == 6


def test_files_of_another_precision_are_not_compared(tiny_style, paced):
    with pytest.raises(UsageError, match="Style 'tiny' has no file of precision int8 that a backend installed here"):
        choose(tiny_style, "int8")


def test_the_memory_of_the_cache_is_bounded(tiny_style, paced, monkeypatch):
    monkeypatch.setattr(choice, "_REMEMBERED", 2)
    for threads in (1, 2, 3):
        choose(tiny_style, threads=threads)
    assert len(json.loads(choice.cache_file().read_text())) == 2


def test_real_backends(tiny_style, tmp_path, monkeypatch, rng):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # not installed: left out without a word
    monkeypatch.setattr(choice, "_ROUNDS", 1)
    stylizer = Stylizer.load(tiny_style, "auto", threads=1)
    assert stylizer.backend.format in ("tflite", "onnx")
    pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert np.abs(stylizer(pixels).astype(int) - Stylizer.load(tiny_style)(pixels)).max() <= 1


def test_a_style_with_choices_can_be_measured(label_style, code_style, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(choice, "_ROUNDS", 1)
    for style in (label_style, code_style):
        stylizer = Stylizer.load(style, "auto")
        stylizer.warm_up(32, 40)
        assert stylizer.backend.format in ("tflite", "onnx")
