"""Training against the clock, with a training that only counts: measuring, stopping, resuming, previews."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError, TrainingError
from animegan_tf.studio import timed
from animegan_tf.studio.timed import Watch, check_generator, choose_precision, measure, train_in_time
from animegan_tf.training.run import Outcome

CONFIG = TrainConfig(epochs=3, pretrain_epochs=1, steps_per_epoch=10)


class Training:
    """Stands for training.run.train: every step takes `seconds(step)` of its own clock; it remembers its configs."""

    def __init__(self, monkeypatch, seconds=lambda step: 1.0, interrupt_at=0):
        self.now, self.seconds, self.interrupt_at = 0.0, seconds, interrupt_at
        self.configs: list[TrainConfig] = []
        monkeypatch.setattr("animegan_tf.training.run.train", self)
        monkeypatch.setattr(timed.time, "monotonic", lambda: self.now)

    def __call__(self, config, watch):
        self.configs.append(config)
        run_dir, step = Path(config.run_dir), 0
        checkpoints = run_dir / "checkpoints"
        if config.resume:
            step = max(int(path.name.removeprefix("step-")) for path in checkpoints.iterdir())
        checkpoints.mkdir(parents=True, exist_ok=True)
        print("a line of the training's own")
        last = config.epochs * config.steps_per_epoch
        last = min(last, config.max_steps) if config.max_steps else last
        stopped = False
        while step < last and not stopped:
            step += 1
            self.now += self.seconds(step)
            stopped = watch(step) or step == self.interrupt_at
        (checkpoints / f"step-{step:08d}").mkdir(exist_ok=True)
        return Outcome(run_dir, step, {}, stopped and step < last)

    def clock(self, budget: float):
        """Returns a clock that this training moves."""
        return _Clock(self, budget)


class _Clock(SimpleNamespace):
    def __init__(self, training: Training, budget: float):
        super().__init__(training=training, budget=budget)

    @property
    def spent(self) -> float:
        return self.training.now

    @property
    def left(self) -> float:
        return self.budget - self.spent


def _watch(training, tmp_path, budget, reserve=0.0, keep=lambda: None):
    return Watch(tmp_path / "run", training.clock(budget), reserve, keep)


def test_a_training_ends_with_its_last_step_when_there_is_time(monkeypatch, tmp_path):
    training = Training(monkeypatch)
    assert train_in_time(CONFIG, _watch(training, tmp_path, 100)) == 30
    assert training.configs == [replace(CONFIG, run_dir=str(tmp_path / "run"))]


def test_a_slow_training_stops_when_only_the_reserve_is_left(monkeypatch, tmp_path):
    training = Training(monkeypatch)
    assert train_in_time(CONFIG, _watch(training, tmp_path, 20, reserve=6)) == 14


def test_an_interrupted_training_goes_on_from_its_checkpoint(monkeypatch, tmp_path):
    training = Training(monkeypatch, interrupt_at=7)
    with pytest.raises(KeyboardInterrupt):
        train_in_time(CONFIG, _watch(training, tmp_path, 100))
    training.interrupt_at = 0
    assert train_in_time(CONFIG, _watch(training, tmp_path, 100)) == 30
    assert [config.resume for config in training.configs] == [False, True]
    assert training.now == 30


def test_the_plan_is_made_anew_before_the_last_stage(monkeypatch, tmp_path):
    training, paces = Training(monkeypatch, lambda step: 2.0), []

    def replan(pace):
        paces.append(pace)
        return replace(CONFIG, epochs=2)

    watch = _watch(training, tmp_path, 100)
    assert train_in_time(CONFIG, watch, replan) == 20
    assert paces == [2.0] and [config.max_steps for config in training.configs] == [10, 0]
    assert [config.epochs for config in training.configs] == [3, 2]
    # Interrupted just there: no step was seen since, and it is planned still.
    shutil.rmtree(tmp_path / "run/checkpoints/step-00000020")
    assert train_in_time(CONFIG, _watch(training, tmp_path, 100), replan) == 20
    assert paces == [2.0, None]
    # Interrupted later: it is not.
    assert train_in_time(CONFIG, _watch(training, tmp_path, 100), replan) == 30
    assert len(paces) == 2


def test_time_that_is_over_before_the_last_stage_ends_there(monkeypatch, tmp_path):
    training = Training(monkeypatch)
    assert train_in_time(CONFIG, _watch(training, tmp_path, 8), lambda pace: pytest.fail()) == 8


def test_a_run_without_a_checkpoint_starts_anew(monkeypatch, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/recipe.flags").write_text("")
    assert train_in_time(CONFIG, _watch(Training(monkeypatch), tmp_path, 100)) == 30
    assert not (tmp_path / "run/recipe.flags").exists()


def test_when_the_time_was_over_before_what_is_there_is_taken(monkeypatch, tmp_path):
    training = Training(monkeypatch)
    with pytest.raises(TrainingError, match="The time was over before the training began: it needs more --minutes."):
        train_in_time(CONFIG, _watch(training, tmp_path, 5, reserve=6))
    (tmp_path / "run/checkpoints/step-00000004").mkdir(parents=True)
    assert train_in_time(CONFIG, _watch(training, tmp_path, 5, reserve=6)) == 4
    assert training.configs == []


def test_the_time_is_kept_now_and_then_and_previews_are_named(monkeypatch, tmp_path, capsys):
    kept, training = [], Training(monkeypatch)
    samples = tmp_path / "run/samples"
    samples.mkdir(parents=True)
    (samples / "step-00000012.jpg").write_text("")
    (tmp_path / "run/checkpoints/step-00000001").mkdir(parents=True)
    watch = _watch(training, tmp_path, 100, keep=lambda: kept.append(training.now))
    assert train_in_time(CONFIG, watch) == 30
    assert kept == [10, 20]
    assert f"preview, 89 s left: {samples / 'step-00000012.jpg'}" in capsys.readouterr().out


def test_measuring_times_every_stage_quietly_and_leaves_nothing(monkeypatch, tmp_path, capsys):
    """20 s before step 1, 10 s to trace step 5; 0.5 s a step in pre-training, 2 s after it."""
    costs = {1: 20.5, 5: 12.0}
    training = Training(monkeypatch, lambda step: costs.get(step, 0.5 if step <= 4 else 2.0))
    speed = measure(CONFIG, tmp_path, seconds=9)
    assert (speed.start, speed.steps) == (30.0, (0.5, 2.0))
    assert training.now == 20.5 + 1.5 + 12 + 5 * 2  # until 9 s of plain steps were seen
    assert list(tmp_path.iterdir()) == [] and capsys.readouterr().out == ""


def test_one_very_slow_step_is_measure_enough(monkeypatch, tmp_path):
    training = Training(monkeypatch, lambda step: 1.0 if step <= 5 else 40.0)
    assert measure(CONFIG, tmp_path, seconds=9).steps == (1.0, 40.0)
    assert training.now == 45


def test_a_signal_while_measuring_is_one(monkeypatch, tmp_path):
    Training(monkeypatch, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        measure(CONFIG, tmp_path, seconds=9)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("generator", "taken"), [("conditional", "label"), ("style_code", "noise")])
def test_generators_of_many_styles_are_refused(generator, taken):
    check_generator(CONFIG)
    with pytest.raises(ConfigError, match=f"makes a generator that takes {taken} besides the photo: train it with"):
        check_generator(replace(CONFIG, generator=generator))


@pytest.mark.parametrize(
    ("gpu", "cpu", "wanted", "expected"),
    [
        (True, False, "auto", "mixed_bfloat16"),
        (False, True, "auto", "mixed_bfloat16"),
        (False, False, "auto", "float32"),
        (True, True, "float32", "float32"),
        (False, False, "mixed_bfloat16", "mixed_bfloat16"),
    ],
)
def test_bfloat16_is_chosen_where_the_machine_has_it(monkeypatch, gpu, cpu, wanted, expected):
    monkeypatch.setattr(timed, "_has_gpu", lambda: gpu)
    monkeypatch.setattr(timed, "_cpu_has_bfloat16", lambda: cpu)
    assert choose_precision(wanted) == expected
