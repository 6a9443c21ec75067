"""The schedule that fits the time, from measured speeds to flags."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError
from animegan_tf.studio import publish
from animegan_tf.studio.plan import (
    PROBE_STEPS,
    Speed,
    describe_plan,
    fit_crops,
    fit_epochs,
    fit_schedule,
    measured_side,
    probe_config,
    speed_of,
    stages,
    worth_replanning,
)
from animegan_tf.training.phases import make_plan

CONFIG = TrainConfig(epochs=30, pretrain_epochs=1, image_size=192, batch_size=4)


def test_stages_that_a_recipe_lacks_are_left_out():
    assert stages(CONFIG) == [1, 29]
    assert stages(replace(CONFIG, pretrain_epochs=0)) == [30]
    assert stages(replace(CONFIG, discriminator_pretrain_epochs=2, pretrain_epochs=3)) == [2, 3, 25]


def test_a_probe_goes_through_every_stage(tmp_path):
    probe = probe_config(replace(CONFIG, pretrain_epochs=7, discriminator_pretrain_epochs=2), tmp_path)
    found = [(phase.stage, phase.first, phase.end) for phase in make_plan(probe, 99).phases_from(0)]
    assert found[:2] == [("discriminator", 0, PROBE_STEPS), ("pretrain", PROBE_STEPS, 2 * PROBE_STEPS)]
    assert found[2][:2] == ("train", 2 * PROBE_STEPS) and found[2][2] >= 1000
    assert probe.run_dir == str(tmp_path) and not probe.sample_every


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pretrain_epochs": 30}, [("pretrain", 0, 1000)]),
        (
            {"pretrain_epochs": 28, "discriminator_pretrain_epochs": 2},
            [("discriminator", 0, PROBE_STEPS), ("pretrain", PROBE_STEPS, PROBE_STEPS + 1000)],
        ),
        ({"pretrain_epochs": 0}, [("train", 0, 1000)]),
    ],
)
def test_a_probe_has_no_stage_that_the_recipe_lacks(tmp_path, changes, expected):
    """Else a recipe of pre-training alone would be planned by the steps with VGG19, which it never takes."""
    probe = probe_config(replace(CONFIG, **changes), tmp_path)
    assert [(phase.stage, phase.first, phase.end) for phase in make_plan(probe, 99).phases_from(0)] == expected
    assert len(expected) == len(stages(replace(CONFIG, **changes)))


@pytest.mark.parametrize(("frozen", "frozen_when_timed"), [(0, False), (10, False), (29, True)])
def test_a_probe_times_the_last_stage_as_it_begins(tmp_path, frozen, frozen_when_timed):
    probe = probe_config(replace(CONFIG, frozen_norm_epochs=frozen), tmp_path)
    assert [phase.norms_frozen for phase in make_plan(probe, 99).phases_from(0)] == [False, frozen_when_timed]


def test_speed_is_read_from_the_times_of_a_probe():
    """20 s to start and trace, 4 steps of 0.5 s, 10 s to trace, steps of 1, 2 and 3 s."""
    times = [20.5, 21.0, 21.5, 22.0, 34.0, 35.0, 37.0, 40.0]
    speed = speed_of(times, CONFIG)
    assert speed.steps == (0.5, 2.0)
    assert speed.start == pytest.approx(20.0 + 10.0)
    assert speed_of([3.0, 5.0], replace(CONFIG, pretrain_epochs=0)) == Speed(1.0, (2.0,))


def test_the_schedule_fills_the_time_and_keeps_the_shares_of_the_stages():
    values = fit_schedule(CONFIG, Speed(30.0, (0.5, 1.0)), seconds=3000.0, preview_seconds=180.0)
    # 0.97 x 3000 - 30 = 2880 s; one step of each of 30 epochs: 0.5 + 29 = 29.5 s, so 97.6.
    assert values["steps_per_epoch"] == 97
    assert values["sample_every"] == round(180 / (29.5 / 30)) == 183
    assert values["checkpoint_every"] == round(120 / (29.5 / 30)) == 122
    plan = make_plan(replace(CONFIG, **values), 1)
    assert (plan.pretrain_steps, plan.recipe_steps) == (97, 2910)


def test_too_little_time_says_how_much_more():
    with pytest.raises(ConfigError, match="--minutes is too short for this machine and recipe: about 3 more"):
        fit_schedule(CONFIG, Speed(100.0, (1.0, 1.0)), seconds=50.0, preview_seconds=180.0)


@pytest.mark.parametrize("start", [5.0, 30.0, 100.0])
@pytest.mark.parametrize("minutes", [0.1, 1.0, 1.5])
def test_the_minutes_that_it_asks_for_are_enough(start, minutes):
    """What is kept for export and evaluation grows with them."""
    speed = Speed(start, (0.5, 2.0))

    def fit(minutes):
        budget = 60 * minutes
        seconds = budget - min(30.0, max(3.0, 0.02 * budget)) - start - publish.reserve(budget, start)
        return fit_schedule(CONFIG, speed, seconds, 180.0)

    with pytest.raises(ConfigError) as caught:
        fit(minutes)
    more = int(re.search(r"about (\d+) more", str(caught.value))[1])
    assert fit(minutes + more)["steps_per_epoch"] >= 1
    with pytest.raises(ConfigError):
        fit(minutes + more / 2 - 1)  # nor are they far too many


@pytest.mark.parametrize(
    ("pace", "epochs"),
    # 1000 s: 0.97 x 1000 - 30 of start; 10 steps of 2 s an epoch. At twice the pace: (970 - 60) / 40.
    [(None, 1 + 47), (0.5, 1 + 47), (1.0, 1 + 22), (0.25, 1 + 95), (500.0, 2)],
)
def test_the_last_stage_is_fitted_to_the_time_left_and_the_pace(pace, epochs):
    config = replace(CONFIG, steps_per_epoch=10)
    assert fit_epochs(config, Speed(30.0, (0.5, 2.0)), 1000.0, pace)["epochs"] == epochs


def test_the_pace_is_compared_with_the_mean_of_the_stages_before():
    config = replace(CONFIG, steps_per_epoch=10, discriminator_pretrain_epochs=1, pretrain_epochs=3)
    # Expected (1 x 1 + 3 x 2) / 4 = 1.75 s a step; twice that: 20 x 10 s of steps of 2 x 1 s.
    assert fit_epochs(config, Speed(0.0, (1.0, 2.0, 1.0)), 400.0 / 0.97 + 1e-6, 3.5)["epochs"] == 4 + 20


def test_frozen_norms_keep_their_share_of_the_last_stage():
    config = replace(CONFIG, steps_per_epoch=10, epochs=41, frozen_norm_epochs=10)
    found = fit_epochs(config, Speed(0.0, (1.0, 2.0)), 400.0 / 0.97 + 1e-6, None)
    assert found == {"epochs": 1 + 20, "frozen_norm_epochs": 5}
    assert replace(config, **found).frozen_norm_epochs == 5
    # What is frozen of pre-training stays: 2 of its 6 epochs.
    early = replace(config, epochs=46, pretrain_epochs=6, frozen_norm_epochs=42)
    found = fit_epochs(early, Speed(0.0, (1.0, 2.0)), 400.0 / 0.97 + 1e-6, None)
    assert found == {"epochs": 6 + 20, "frozen_norm_epochs": 2 + 20}
    assert fit_epochs(replace(config, frozen_norm_epochs=40), Speed(0.0, (1.0, 2.0)), 400.0 / 0.97 + 1e-6, None) == {
        "epochs": 1 + 20,
        "frozen_norm_epochs": 20,
    }


def test_one_epoch_with_frozen_norms_is_left_however_few_fit():
    config = replace(CONFIG, steps_per_epoch=10, epochs=41, frozen_norm_epochs=1)
    found = fit_epochs(config, Speed(0.0, (1.0, 2.0)), 200.0 / 0.97 + 1e-6, None)
    assert found == {"epochs": 1 + 10, "frozen_norm_epochs": 1}


def test_short_trainings_and_those_of_one_stage_are_not_planned_twice():
    assert worth_replanning(CONFIG, Speed(20.0, (0.5, 1.0)), 201.0)
    assert not worth_replanning(CONFIG, Speed(20.0, (0.5, 1.0)), 199.0)
    assert not worth_replanning(replace(CONFIG, pretrain_epochs=0), Speed(20.0, (1.0,)), 9999.0)


def _check(style: float, photo: float):
    return SimpleNamespace(
        style=SimpleNamespace(median_side=lambda: style), photo=SimpleNamespace(median_side=lambda: photo)
    )


def test_crops_grow_until_half_of_the_pictures_are_not_enlarged():
    config = replace(CONFIG, style_crop_min=0.25, style_crop_max=0.3, photo_crop_min=0.5, photo_crop_max=1)
    assert fit_crops(config, _check(800, 384), []) == {}
    assert fit_crops(config, _check(256, 360), []) == {
        "style_crop_min": 0.75,
        "style_crop_max": 0.9,  # 0.3 / 0.25 times the smallest, too
        "photo_crop_min": 0.533,
        "photo_crop_max": 1,
    }
    assert fit_crops(config, _check(256, 400), ["style_crop_max"]) == {}
    assert fit_crops(config, _check(100, 400), []) == {"style_crop_min": 1.0, "style_crop_max": 1.0}
    assert measured_side(config) == 768


def test_a_plan_is_one_sentence():
    config = replace(CONFIG, steps_per_epoch=97, precision="mixed_bfloat16")
    text = describe_plan(config, Speed(30.0, (0.5, 1.034)), 3000.0)
    assert text == "2910 steps of 4 crops at 192 px in 50 min (1 s a step, mixed_bfloat16)"
