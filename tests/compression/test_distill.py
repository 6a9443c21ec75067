"""Distillation: terms by hand, what the teacher is shown, learning, resuming, the program as a user meets it."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from animegan_tf import images
from animegan_tf.compression.distill import DistillConfig, distill
from animegan_tf.errors import ConfigError
from animegan_tf.models import GENERATORS
from animegan_tf.models.network import Generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.options import parse_flags
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.runtime.stylizer import Stylizer
from animegan_tf.training.build import samples_of
from animegan_tf.training.objective import Objective, feature_names, stream_names

TOOL = Path(__file__).parents[2] / "tools" / "distill.py"
RECIPE = list_recipes()["mobile_distilled"]


class Student(Generator):
    """One 1x1 convolution: enough to learn a teacher that inverts colours."""

    published_width, size_multiple = 3, 8

    def __init__(self, width=0, **kwargs):
        super().__init__(width, **kwargs)
        self.conv = keras.layers.Conv2D(3, 1)

    def call(self, photo, training=False):
        return keras.ops.tanh(self.conv(photo))


@pytest.fixture
def tiny_flags(monkeypatch, picture_dirs, tmp_path) -> list[str]:
    """Returns arguments that make the shipped recipe tiny, with the student 'student'."""
    monkeypatch.setitem(GENERATORS, "student", Student)
    return [
        *(f"--flagfile={RECIPE}", "--generator=student", "--generator_width=0", "--ema_decay=0"),
        *("--image_size=32", "--batch_size=2", "--content_layer=block1_conv1", "--vgg19_weights=random"),
        *(f"--photo_dir={picture_dirs[0]}", f"--run_dir={tmp_path / 'run'}", "--sample_every=0"),
        *("--generator_lr=0.05", "--steps_per_epoch=10", "--epochs=4"),
    ]


@pytest.fixture
def config(tiny_flags) -> DistillConfig:
    """Returns `tiny_flags` as a configuration."""
    return parse_flags(DistillConfig, tiny_flags)


def _invert(photo: np.ndarray) -> np.ndarray:
    return 255 - photo


def _weights(run_dir) -> dict[str, np.ndarray]:
    newest = sorted((Path(run_dir) / "checkpoints").glob("step-*"))[-1]
    with np.load(newest / "state.npz") as data:
        return {name: data[name] for name in data.files}


def test_the_students_terms_by_hand(rng):
    config = parse_flags(DistillConfig, [f"--flagfile={RECIPE}", "--content_layer=block1_conv1"])
    photo, teacher, stylized = rng.uniform(-1, 1, (3, 2, 16, 16, 3)).astype("float32")
    assert stream_names(config) == ("teacher",)
    features = build_vgg19(feature_names(config), "random")
    objective, batch = Objective(config, features), {"photo": photo, "teacher": teacher}
    terms = objective.generator_terms(batch, stylized, objective.targets(batch), None)
    wanted, found = (np.asarray(features(image)["block1_conv1"]) for image in (teacher, stylized))
    relative = ((wanted - found) ** 2).sum((1, 2, 3)) / (wanted**2).sum((1, 2, 3))
    assert terms.keys() == {"feature", "output"}
    assert float(terms["output"]) == pytest.approx(10 * np.abs(teacher - stylized).mean(), rel=1e-5)
    assert float(terms["feature"]) == pytest.approx(relative.mean(), rel=1e-4)


def test_the_teacher_is_shown_the_photos_as_they_are_augmented(config):
    shown = []

    def teacher(photo):
        shown.append(photo)
        return _invert(photo)

    distill(replace(config, max_steps=1), teacher)
    samples = samples_of(replace(config, style_dir=config.photo_dir), _invert)
    for index in range(config.batch_size):
        photo, *_, taught = samples.sample(index)
        np.testing.assert_array_equal(taught, 255 - photo)
        assert any(np.array_equal(photo, one) for one in shown)
    assert len({photo.tobytes() for photo in shown}) >= config.batch_size


def test_the_student_learns_and_a_resumed_run_equals_an_uninterrupted_one(config, tmp_path, capsys):
    whole = distill(replace(config, run_dir=str(tmp_path / "whole")), _invert)
    config = replace(config, teacher="one")
    first = distill(replace(config, max_steps=1), _invert)
    resumed = distill(replace(config, resume=True), _invert)
    assert resumed.step == whole.step == 40 and resumed.logs == whole.logs
    assert whole.logs["loss/g/output"] < 0.5 * first.logs["loss/g/output"]
    for name, value in _weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(value, _weights(config.run_dir)[name], err_msg=name)
    distill(replace(config, resume=True, teacher="another"), _invert)
    assert "--teacher=another was one when this run started" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_weight": 0.0, "feature_weight": 0.0, "content_weight": 1.0}, "are both 0: nothing is learnt"),
        ({"generator": "conditional"}, "--generator=conditional takes a label besides the photo"),
        ({"gram_weight": 1.0}, "--style_dir is needed"),
    ],
)
def test_wrong_starts_are_one_sentence(config, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        distill(replace(config, **change), _invert)
    assert "\n" not in str(caught.value) and not Path(config.run_dir).exists()


@pytest.fixture
def tool(monkeypatch):
    """Returns tools/distill.py as a module."""
    spec = importlib.util.spec_from_file_location("distill", TOOL)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "distill", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("backend", ["tflite", "saved_model"])
def test_the_program_with_an_exported_style(tool, tiny_flags, tiny_style, tmp_path, monkeypatch, capsys, backend):
    monkeypatch.chdir(tiny_style.parent)
    taught = f"--teacher={tiny_style.name}", f"--teacher_backend={backend}"
    assert tool.main([*tiny_flags, *taught, "--max_steps=2"]) == 0, capsys.readouterr().err
    run_dir = tmp_path / "run"
    recipe = run_dir / "recipe.flags"
    assert f"--teacher={tiny_style}\n" in recipe.read_text() and "python tools/distill.py" in recipe.read_text()
    assert read_flagfile(recipe).recipe == "mobile_distilled"  # as export reads it
    monkeypatch.chdir(os.sep)
    assert tool.main(["--resume", f"--run_dir={run_dir}", "--max_steps=3"]) == 0
    again = tool.main([f"--flagfile={recipe}", f"--run_dir={tmp_path / 'again'}", "--max_steps=3"])
    out, err = capsys.readouterr()
    assert again == 0 and out.count("3 steps done") == 2 and "when this run started" not in err
    lines = [re.search(r"step 3 .*", (path / "log.txt").read_text())[0] for path in (run_dir, tmp_path / "again")]
    assert [re.findall("loss/g/output [^ ]+", line) for line in lines[:1]] == [
        re.findall("loss/g/output [^ ]+", line) for line in lines[1:]
    ]


def test_a_run_teaches_without_its_export(tool, config, rng):
    outcome = distill(replace(config, max_steps=1), _invert)
    teacher = tool.load_teacher(replace(config, teacher=str(outcome.run_dir)))
    photo = rng.integers(0, 256, (33, 41, 3)).astype(np.uint8)
    state = _weights(outcome.run_dir)
    kernel = next(value for name, value in state.items() if value.shape == (1, 1, 3, 3) and "generator" in name)[0, 0]
    bias = next(value for name, value in state.items() if value.shape == (3,) and "generator" in name)
    expected = np.tanh(images.to_float(photo) @ kernel + bias)
    assert np.abs(teacher(photo).astype(int) - images.to_uint8(expected)).max() <= 1


def test_teachers_of_several_styles_and_by_example(tool, config, label_style, code_style, picture_dirs, rng):
    photo = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    teacher = tool.load_teacher(replace(config, teacher=str(label_style), teacher_label="monet"))
    np.testing.assert_array_equal(teacher(photo), Stylizer.load(label_style)(photo, label="monet"))
    picture, painter = sorted(picture_dirs[1].iterdir())[0], Stylizer.load(code_style)
    teacher = tool.load_teacher(replace(config, teacher=str(code_style), teacher_style_image=str(picture)))
    np.testing.assert_array_equal(teacher(photo), painter(photo, code=painter.encode(picture)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--teacher is needed"),
        (["--teacher=hokusay"], "Unknown style 'hokusay': known are"),
        (["--teacher=./nowhere"], "./nowhere: no such style folder."),
        (["--teacher=hokusai", "--teacher_label=monet"], "--teacher=hokusai takes no --teacher_label."),
        (["--teacher={label_style}"], "needs --teacher_label."),
        (["--teacher=hokusai", "--output_weight=0", "--feature_weight=0", "--content_weight=1"], "are both 0"),
        (["--teacher=hokusai", "--teacher_size=3"], "Unknown command line flag 'teacher_size'"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(tool, tiny_flags, label_style, arguments, sentence, capsys):
    arguments = [argument.format(label_style=label_style) for argument in arguments]
    assert tool.main([*tiny_flags, *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1
