"""The schedule that fits the time: from the measured speed of a recipe to the values of its schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animegan_tf.config import TrainConfig
from animegan_tf.data.check import PictureCheck
from animegan_tf.errors import ConfigError
from animegan_tf.studio.state import in_words

PROBE_STEPS = 4
"""Steps in each stage of a probe but the last, the first of which traces and is not counted as a step."""

_MOST_PROBED = 1000
_USED = 0.97  # of the time: previews, checkpoints and a machine that slows down
_TRAINED = 0.55  # of a further second, at the least: the rest goes to measuring, export and evaluation
_CHECKPOINT_SECONDS = 120.0
_LONG_RUN = 10


@dataclass(frozen=True)
class Speed:
    """Seconds that training takes on this machine.

    start: before the first step, and for the first step of every stage, over a plain step's.
    steps: of one step of each stage of the recipe, in the order of `stages`.
    """

    start: float
    steps: tuple[float, ...]


def stages(config: TrainConfig) -> list[int]:
    """Returns the recipe's epochs of each stage that it has: the discriminator alone, pre-training, training."""
    return [epochs for epochs in _epochs(config) if epochs]


def _epochs(config: TrainConfig) -> tuple[int, int, int]:
    """Returns the epochs of the three stages, 0 for one that the recipe lacks."""
    before = (config.discriminator_pretrain_epochs, config.pretrain_epochs)
    return (*before, config.epochs - sum(before))


def probe_config(config: TrainConfig, folder: Path) -> TrainConfig:
    """Returns `config` for a short run that goes through every stage, to be stopped when enough was measured."""
    epochs, most = _epochs(config), _MOST_PROBED // PROBE_STEPS
    last = max(number for number, count in enumerate(epochs) if count)
    before = [min(1, count) for count in epochs[:last]]
    probed = [*before, most, 0, 0]
    return replace(
        config,
        discriminator_pretrain_epochs=probed[0],
        pretrain_epochs=probed[1],
        epochs=sum(before) + most,
        # Where the norms freeze on the way, what is timed comes before it.
        frozen_norm_epochs=most if config.frozen_norm_epochs >= epochs[last] else 0,
        progressive_start=0,
        steps_per_epoch=PROBE_STEPS,
        sample_every=0,
        checkpoint_every=10 * _MOST_PROBED,
        run_dir=str(folder),
        resume=False,
    )


def speed_of(times: list[float], config: TrainConfig) -> Speed:
    """Returns the speed that a probe of `config` shows.

    Args:
      times: seconds from the start of the probe to the end of each of its steps; in the last stage at least two.
    """
    durations = [end - before for before, end in zip([0.0, *times], times, strict=False)]
    count = len(stages(config))
    cuts = [PROBE_STEPS * number for number in range(count)]
    parts = [durations[first:end] for first, end in zip(cuts, [*cuts[1:], None], strict=True)]
    steps = [sum(part[1:]) / (len(part) - 1) for part in parts]
    start = sum(max(0.0, part[0] - step) for part, step in zip(parts, steps, strict=True))
    return Speed(start, tuple(steps))


def fit_schedule(config: TrainConfig, speed: Speed, seconds: float, preview_seconds: float) -> dict[str, Any]:
    """Returns the values of the recipe's schedule with which training takes `seconds`.

    Epochs stay the recipe's, so that each stage keeps its share and the cosine ends at the last step; an epoch gets
    as many steps as fit.

    Raises:
      ConfigError: not even one step an epoch fits.
    """
    epochs = stages(config)
    per_round = sum(count * step for count, step in zip(epochs, speed.steps, strict=True))
    rounds = int((seconds * _USED - speed.start) / per_round)
    if rounds < 1:
        lacking = speed.start / _USED + per_round / _USED - seconds
        more = math.ceil(lacking / 60 / _TRAINED)
        raise ConfigError(f"--minutes is too short for this machine and recipe: about {more} more are needed.")
    mean = per_round / sum(epochs)
    return {
        "steps_per_epoch": rounds,
        "sample_every": max(1, round(preview_seconds / mean)),
        "checkpoint_every": max(1, round(min(_CHECKPOINT_SECONDS, preview_seconds) / mean)),
        "keep_checkpoints": 2,
    }


def fit_epochs(config: TrainConfig, speed: Speed, seconds: float, pace: float | None) -> dict[str, int]:
    """Returns the epochs with which the recipe's last stage takes `seconds`; the stages before it are done.

    Args:
      config: with its schedule planned.
      speed: as measured before the training.
      seconds: time left for the last stage.
      pace: seconds of a step of the stages before, as they went: the machine may be slower or faster by now.
    """
    *before, after = stages(config)
    expected = sum(count * step for count, step in zip(before, speed.steps, strict=False)) / sum(before)
    factor = pace / expected if pace else 1.0
    each = config.steps_per_epoch * speed.steps[-1] * factor
    epochs = max(1, int((seconds * _USED - speed.start * factor) / each))
    frozen_after = min(config.frozen_norm_epochs, after)
    # What is frozen in the last stage keeps its share, and one epoch at the least.
    kept = max(1, round(frozen_after * epochs / after)) if frozen_after else 0
    frozen = config.frozen_norm_epochs - frozen_after + kept
    return {"epochs": sum(before) + epochs, "frozen_norm_epochs": frozen}


def worth_replanning(config: TrainConfig, speed: Speed, seconds: float) -> bool:
    """Whether a training of `seconds` has stages before its last, and is long enough to start twice."""
    return len(stages(config)) > 1 and seconds > _LONG_RUN * speed.start


def fit_crops(config: TrainConfig, check: PictureCheck, chosen: list[str]) -> dict[str, float]:
    """Returns crop shares with which half of the pictures are not enlarged, where the recipe's are smaller.

    A recipe's shares are for pictures of a certain size; crops of smaller ones would be blown up, and their softness
    learned as the style. `chosen`: flags that the user has set, which stay.
    """
    values: dict[str, float] = {}
    for kind, folder in (("style", check.style), ("photo", check.photo)):
        low, high = f"{kind}_crop_min", f"{kind}_crop_max"
        if low in chosen or high in chosen:
            continue
        least, most = getattr(config, low), getattr(config, high)
        share = min(1.0, round(config.image_size / folder.median_side(), 3))
        if share > least:
            values |= {low: share, high: max(most, min(1.0, round(share * most / least, 3)))}
    return values


def measured_side(config: TrainConfig) -> int:
    """Returns the short side in px from which on no crop of the recipe is enlarged."""
    return math.ceil(config.image_size / min(config.style_crop_min, config.photo_crop_min))


def describe_plan(config: TrainConfig, speed: Speed, seconds: float) -> str:
    """Returns the plan in one sentence."""
    count = config.epochs * config.steps_per_epoch
    return (
        f"{count} steps of {config.batch_size} crops at {config.image_size} px in {in_words(seconds)} "
        f"({speed.steps[-1]:.2g} s a step, {config.precision})"
    )
