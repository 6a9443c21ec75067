"""What a finished training becomes: whose pictures it is made of, and what its figures are read from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.evaluation.scores import Evaluation, Scores
from animegan_tf.export.run import ExportOptions
from animegan_tf.studio import publish

FEATURES = "Features: VGG-19, Karen Simonyan and Andrew Zisserman, CC BY 4.0."


def test_the_reserve_grows_with_the_budget_and_on_slow_machines_but_leaves_most_to_training():
    assert publish.reserve(3600, 20) == 30 + 108
    assert publish.reserve(3600, 100) == 250
    assert publish.reserve(180, 100) == 72


def test_credits_are_given_or_quoted(options, folders):
    assert publish.credits_of(options) == FEATURES
    (folders[0] / "LICENSE.txt").write_text("By Ann, CC BY 4.0.\n\n00.png ...")
    assert publish.credits_of(options) == f"Photos: By Ann, CC BY 4.0. {FEATURES}"
    assert publish.credits_of(replace(options, credits="Mine.")) == "Mine."


def test_an_export_takes_the_options_and_a_photo_of_the_middle(options, folders, monkeypatch, capsys):
    calls: list[ExportOptions] = []
    monkeypatch.setattr(publish, "export_run", lambda given: calls.append(given) or SimpleNamespace(files=()))
    publish.export_style(replace(options, name="waves", license="CC0-1.0"), options.work / "run", folders[0])
    assert (calls[0].run_dir, calls[0].out) == (str(options.work / "run"), str(options.target))
    assert calls[0].calibration_dir == str(folders[0])
    assert (calls[0].name, calls[0].license, calls[0].preview_photo) == ("waves", "CC0-1.0", str(folders[0] / "10.png"))
    assert set(calls[0].formats) == {"saved_model", "tflite", "onnx"} and "licence" not in capsys.readouterr().out
    publish.export_style(options, options.work / "run", folders[0])
    assert "The licence is unknown: --license=CC-BY-4.0" in capsys.readouterr().out


class _Stylizer:
    """Halves all levels, and has an int8 file or none."""

    def __init__(self, int8):
        self.manifest = SimpleNamespace(find=lambda *_: int8, training_steps=1234)

    def stylize(self, photo):
        return photo // 2


@pytest.mark.parametrize(("seconds", "pictures"), [(100.0, 20), (20.0, 12)])
def test_figures_come_from_the_evaluation_and_the_style_folder(options, folders, monkeypatch, seconds, pictures):
    scores = {"pictures": 20, "ssim": 0.7, "flatness": 0.2}
    found = Evaluation(
        photos=Scores("photos", **scores),
        style=Scores("style set", **scores | {"flatness": 0.5}),
        results=(Scores("mine", **scores | {"flatness": 0.1}, style_ratio=0.5),),
    )
    asked: list = []
    monkeypatch.setattr(publish, "evaluate", lambda given: asked.append(given) or found)
    files = iter([SimpleNamespace(mean_error=0.007), None])
    monkeypatch.setattr(publish.Stylizer, "load", lambda _: _Stylizer(next(files)))
    judged: list = []
    monkeypatch.setattr(publish, "judge", lambda figures, config: judged.append(figures) or ["A sentence."])
    config = TrainConfig(photo_dir=str(folders[0]), style_dir=str(folders[1]))
    text = publish.evaluate_style(options, config, options.work / "run", seconds)
    assert asked[0].limit == max(pictures, 12 if seconds < 60 else 32)
    assert len(list((options.work / "pictures/judged").iterdir())) == pictures
    assert asked[0].photo_dir == str(options.work / "pictures/judged") and asked[0].styles == (str(options.target),)
    assert (judged[0].style_ratio, judged[0].ssim, judged[0].flatness) == (0.5, 0.7, (0.1, 0.2, 0.5))
    assert judged[0].steps == 1234 and judged[0].int8_error == 0.007 and judged[0].discriminator is None
    assert judged[0].color[0] == pytest.approx(judged[0].color[1] / 2, abs=0.5)
    assert "\nA sentence.\n" in text and (options.work / "evaluation.json").exists()
    publish.evaluate_style(options, config, options.work / "run", seconds)
    assert judged[1].int8_error is None
