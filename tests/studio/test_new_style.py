"""One's own style in one command: its stages, what an interruption leaves, what it refuses; and the whole, slowly."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.manifest import MANIFEST_NAME
from animegan_tf.options import parse_flags
from animegan_tf.studio import new_style, publish
from animegan_tf.studio.new_style import main
from animegan_tf.studio.options import NewStyleOptions, recipe_config
from animegan_tf.studio.plan import Speed

STAGES = ["check", "plan", "train", "export", "evaluate"]


def _argv(options, **changes) -> list[str]:
    options = dataclasses.replace(options, **changes)
    fields = [field for field in dataclasses.fields(options) if getattr(options, field.name) != field.default]
    return [f"--{field.name}={getattr(options, field.name)}" for field in fields]


def _state(options) -> dict:
    return json.loads((options.work / "state.json").read_text())


class Stages:
    """Stands for all that takes long, and remembers what was called; `fail` maps a stage to what it raises."""

    def __init__(self, monkeypatch):
        self.calls: list[str] = []
        self.pace: float | None = None
        self.fail: dict[str, BaseException] = {}
        monkeypatch.setattr(new_style, "choose_precision", lambda wanted: "float32")
        monkeypatch.setattr(new_style, "check_generator", lambda config: None)
        monkeypatch.setattr(new_style, "measure", self._measure)
        monkeypatch.setattr(new_style, "train_in_time", self._train)
        monkeypatch.setattr(publish, "export_style", self._export)
        monkeypatch.setattr(publish, "evaluate_style", self._evaluate)

    def _measure(self, config, work, seconds):
        self._call("plan")
        return Speed(10.0, (0.5, 1.0))

    def _train(self, config, watch, replan=None):
        if replan:
            config = replan(self.pace)
        self.config = config
        (watch.run_dir / "checkpoints/step-00000001").mkdir(parents=True, exist_ok=True)
        self._call("train")
        return config.epochs * config.steps_per_epoch

    def _export(self, options, run_dir, photo_dir):
        self._call("export")
        options.target.mkdir(parents=True, exist_ok=True)
        (options.target / MANIFEST_NAME).write_text("{}")

    def _evaluate(self, options, config, run_dir, seconds):
        self._call("evaluate")
        return "The verdict.\n"

    def _call(self, name):
        self.calls.append(name)
        if name in self.fail:
            raise self.fail.pop(name)


@pytest.fixture
def stages(monkeypatch) -> Stages:
    """Returns the stages, in place of the real ones; pictures are checked for real."""
    return Stages(monkeypatch)


def test_all_stages_run_and_are_told(options, stages, capsys):
    assert main(_argv(options)) == 0
    assert stages.calls == STAGES[1:] and _state(options)["done"] == STAGES
    out = capsys.readouterr().out
    assert out.startswith("style pictures: 8 of 8 can be used")
    assert "plan: " in out and f"The verdict.\n{options.target}: ready after " in out
    assert (options.work / "check.txt").read_text() in out
    assert (options.work / "verdict.txt").read_text() == "The verdict.\n"


def test_the_training_gets_the_plan_and_the_usable_pictures(options, stages):
    (Path(options.photo_dir) / "text.png").write_text("no picture")
    assert main(_argv(options, minutes=60.0)) == 0
    config = stages.config
    recipe = recipe_config(options)
    assert config.pretrain_epochs == recipe.pretrain_epochs
    seconds = 0.97 * (3600 - publish.reserve(3600, 10)) - 10
    each = 0.5 * recipe.pretrain_epochs + 1.0 * (recipe.epochs - recipe.pretrain_epochs)
    assert 0 <= seconds / each - config.steps_per_epoch < 1.2
    assert config.precision == "float32" and config.image_size == 32
    # Half of the prints are 48 px high: a crop of 32 is 0.667 of it.
    assert (config.style_crop_min, config.photo_crop_min) == (0.667, 0.667)
    assert len(list(Path(config.photo_dir).iterdir())) == 20
    assert Path(config.photo_dir).is_relative_to(options.work)


def test_before_its_last_stage_the_training_is_planned_anew(options, stages, capsys):
    """Steps take three times as long as in the probe, so that a third of them fits; the plan is made once."""
    stages.pace, stages.fail = 1.5, {"train": KeyboardInterrupt()}
    assert main(_argv(options)) == 130
    recipe, state = recipe_config(options), _state(options)
    config = stages.config
    assert config.epochs == state["plan"]["epochs"] and config.pretrain_epochs == recipe.pretrain_epochs
    seconds = 0.97 * (3600 - state["reserve"]) - 30
    assert config.epochs - recipe.pretrain_epochs == int(seconds / (3.0 * config.steps_per_epoch))
    assert "plan: the machine as it is now does " in capsys.readouterr().out
    stages.pace = 0.1
    assert main(_argv(options)) == 0 and stages.config == config


def test_a_short_training_is_planned_once(options, stages):
    assert main(_argv(options, minutes=1.6)) == 0
    assert "epochs" not in _state(options)["plan"]


@pytest.mark.parametrize("stage", ["train", "export", "evaluate"])
def test_an_interrupted_command_goes_on_where_it_was(options, stages, capsys, stage):
    stages.fail = {stage: KeyboardInterrupt()}
    assert main(_argv(options)) == 130
    assert "Interrupted; the same command goes on from here." in capsys.readouterr().out
    plan, config = _state(options)["plan"], stages.config
    done = STAGES[: STAGES.index(stage)]
    assert _state(options)["done"] == done
    stages.calls.clear()
    assert main(_argv(options)) == 0
    assert stages.calls == STAGES[STAGES.index(stage) :]
    assert _state(options)["plan"] == plan and stages.config == config
    assert f"Going on in {options.work}: {', '.join(done)} done" in capsys.readouterr().out


def test_the_time_used_is_counted_over_all_starts(options, stages, monkeypatch):
    stages.fail = {"train": KeyboardInterrupt()}
    main(_argv(options))
    state = _state(options) | {"spent": 1000.0}
    (options.work / "state.json").write_text(json.dumps(state))
    left = []
    monkeypatch.setattr(new_style, "train_in_time", lambda config, watch, replan: left.append(watch.clock.left) or 1)
    assert main(_argv(options)) == 0
    assert 2590 < left[0] <= 2600


def test_before_the_first_checkpoint_everything_starts_anew(options, stages, folders):
    stages.fail = {"plan": KeyboardInterrupt()}
    assert main(_argv(options)) == 130
    assert main(_argv(options, style_dir=str(folders[0]), photo_dir=str(folders[0]))) == 2  # no photos are left
    assert main(_argv(options, minutes=30.0)) == 0
    assert _state(options)["said"]["minutes"] == 30.0


def test_another_command_does_not_go_on(options, stages, folders, capsys):
    stages.fail = {"train": KeyboardInterrupt()}
    main(_argv(options))
    capsys.readouterr()
    assert main(_argv(options, style_dir=str(folders[0]), minutes=30.0)) == 2
    error = capsys.readouterr().err
    assert f"was started with --style_dir={folders[1]} --minutes=60.0: go on with that" in error
    assert error.count("\n") == 1
    assert main(_argv(options, license="CC0-1.0", credits="me")) == 0  # what is said of the style may change


def test_what_is_finished_is_told_again_and_made_again_only_with_overwrite(options, stages, capsys):
    main(_argv(options))
    stages.calls.clear()
    assert main(_argv(options)) == 0
    assert stages.calls == [] and "The verdict." in capsys.readouterr().out
    assert main(_argv(options, overwrite=True)) == 0
    assert stages.calls == STAGES[1:]


def test_overwrite_goes_on_too(options, stages):
    main(_argv(options))
    stages.fail = {"train": KeyboardInterrupt()}
    assert main(_argv(options, overwrite=True)) == 130
    stages.calls.clear()
    assert main(_argv(options, overwrite=True)) == 0
    assert stages.calls == STAGES[2:]


def test_a_style_folder_that_is_gone_is_exported_again(options, stages):
    main(_argv(options))
    shutil.rmtree(options.target)
    stages.calls.clear()
    assert main(_argv(options)) == 0
    assert stages.calls == ["export", "evaluate"]


def test_an_export_that_ended_unseen_is_not_in_the_way(options, stages, monkeypatch):
    """The folder was moved into place, and the process ended before it could write that down."""
    export = publish.export_style

    def ended(*arguments):
        export(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "export_style", ended)
    assert main(_argv(options)) == 130 and _state(options)["done"] == STAGES[:3]
    stages.calls.clear()
    assert main(_argv(options)) == 0
    assert stages.calls == ["evaluate"] and _state(options)["done"] == STAGES


def test_a_folder_that_is_in_the_way_is_left_alone(options, stages, capsys):
    options.target.mkdir(parents=True)
    assert main(_argv(options)) == 2
    assert f"--out={options.target} exists: add --overwrite to replace it." in capsys.readouterr().err
    assert main(_argv(options, overwrite=True)) == 2
    assert "is not a style folder" in capsys.readouterr().err
    assert stages.calls == []


def test_too_few_pictures_stop_before_any_work(options, stages, folders, capsys):
    (folders[1] / "00.png").unlink()
    assert main(_argv(options)) == 2
    out, err = capsys.readouterr()
    assert "style pictures: 7 of 7 can be used" in out  # the report comes first
    assert "has 7 usable style pictures: at least 8 are needed" in err and stages.calls == []


def test_under_another_backend_a_second_process_publishes(options, stages, monkeypatch, capsys):
    calls: list = []
    codes = iter([0, 130, 1])

    def run(command, env):
        calls.append((command, env["KERAS_BACKEND"]))
        return subprocess.CompletedProcess(command, next(codes))

    monkeypatch.setattr(new_style, "chosen_backend", lambda: "jax")
    monkeypatch.setattr(new_style.subprocess, "run", run)
    options = dataclasses.replace(options, credits="By Ann,\n  and --by=Ben.\n")
    assert [main(_argv(options)) for _ in range(3)] == [0, 130, 1]
    assert stages.calls == ["plan", "train"] and calls[0][1] == "tensorflow"
    assert parse_flags(NewStyleOptions, calls[0][0][3:]) == options  # whatever lines the credits have
    assert "trained, but what follows failed: the same command goes on from there." in capsys.readouterr().err


def test_without_tensorflow_a_style_is_trained_and_what_is_missing_said_first(options, stages, monkeypatch, capsys):
    monkeypatch.setattr(new_style, "chosen_backend", lambda: "jax")
    monkeypatch.setattr(new_style.importlib.util, "find_spec", lambda name: None)
    assert main(_argv(options)) == 1
    out, err = capsys.readouterr()
    assert out.startswith("TensorFlow, which exports, is not installed here: the style is trained, no more.")
    assert "The style is trained; where TensorFlow is installed the same command goes on from here." in err
    assert _state(options)["done"] == STAGES[:3]
    monkeypatch.undo()
    calls = Stages(monkeypatch).calls
    assert main(_argv(options)) == 0 and calls == ["export", "evaluate"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--style_dir is needed."),
        (["--style_dir=/nowhere", "--photo_dir=/nowhere"], "--style_dir=/nowhere does not exist."),
        (["--gram_weigth=8"], "Did you mean"),
        (["--minutes=0"], "--minutes=0"),
    ],
)
def test_bad_usage_is_one_sentence(tmp_path, argv, message, capsys):
    further = [f"--out={tmp_path / 'out/mine'}"] if argv else []
    assert main([*further, *argv]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("animegan-new-style: ")
    assert list(tmp_path.iterdir()) == []


def test_help_says_that_a_recipes_flags_may_follow(capsys):
    assert main(["--help"]) == 0
    assert "--minutes=60" in capsys.readouterr().out


@pytest.mark.slow
def test_from_two_folders_to_a_style_that_stylizes(options, folders, monkeypatch, capsys):
    """The whole with tiny networks: measured, trained, exported, evaluated; then told again without any work."""
    from animegan_tf.runtime.stylizer import Stylizer

    speeds = []

    def short_schedule(config, speed, seconds, preview_seconds):
        speeds.append(speed)
        return {"steps_per_epoch": 1, "sample_every": 8, "checkpoint_every": 8, "keep_checkpoints": 2}

    # The time a plan needs here depends on what else the machine does.
    monkeypatch.setattr(new_style, "fit_schedule", short_schedule)
    monkeypatch.setattr(
        new_style, "fit_epochs", lambda config, *_: {"epochs": config.epochs - 1, "frozen_norm_epochs": 1}
    )
    (folders[1] / "LICENSE.txt").write_text("Blocks by nobody, CC0.\n\nfile list")
    options = dataclasses.replace(options, description="blocks", license="CC0-1.0")
    assert main(_argv(options)) == 0
    out = capsys.readouterr().out
    assert len(speeds[0].steps) == 2 and min(speeds[0].steps) > 0
    assert out.count("preview, ") >= 2 and "contact sheet: " in out
    stylizer = Stylizer.load(options.target)
    manifest = stylizer.manifest
    assert (manifest.name, manifest.licence, manifest.description) == ("mine", "CC0-1.0", "blocks")
    assert manifest.credits.startswith("Style pictures: Blocks by nobody, CC0. Features: VGG-19")
    kinds = {"saved_model float32", "tflite float32", "tflite float16", "tflite int8", "onnx float32"}
    assert {f"{file.format} {file.precision}" for file in manifest.files} == kinds
    assert (options.target / "preview.jpg").exists()
    photo = np.asarray(Image.open(sorted(folders[0].iterdir())[0]))
    assert stylizer(photo).shape == photo.shape
    figures = json.loads((options.work / "evaluation.json").read_text())
    assert 0 < figures["results"][0]["ssim"] <= 1 and figures["results"][0]["style_ratio"] > 0
    with Image.open(options.work / "contact_sheet.jpg") as sheet:
        assert sheet.width > 600
    assert 0 < _state(options)["spent"] < 3600
    assert main(_argv(options)) == 0 and "evaluating" not in capsys.readouterr().out
