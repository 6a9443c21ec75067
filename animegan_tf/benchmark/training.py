"""Section training: a whole training step, and the share of the machine's arithmetic that it uses."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from animegan_tf.benchmark import machine
from animegan_tf.benchmark.options import BenchmarkOptions
from animegan_tf.benchmark.pipeline import training_config
from animegan_tf.benchmark.runtimes import Save
from animegan_tf.benchmark.timing import Pace, interleave, ready, summary
from animegan_tf.native import load_tensorflow

if TYPE_CHECKING:
    from animegan_tf.config import TrainConfig

_STEP = "step"


def measure_training(options: BenchmarkOptions, found: dict, save: Save) -> None:
    """Fills `found`: what `time_steps` returns.

    Raises:
      ConfigError: as `macs.count_step`; the work of the recipe's step cannot be counted, or VGG19's weights not be had.
    """
    load_tensorflow("Training")
    with training_config(options) as (config, _):
        found |= time_steps(config, options.steps)


def time_steps(config: TrainConfig, steps: int) -> dict:
    """Returns the times of `steps` steps of training as `config` says, and of products of matrices in turn with them.

    The step is the trainer's own, in the stage where both networks learn; it gets one batch again and again, so that
    the input pipeline takes no part. The first one, which is traced, is not counted.

    Args:
      config: with folders that exist.
      steps: how many.

    Returns:
      recipe, image_size, batch_size. seconds: of a step (`summary`). images_per_s. gmacs: of a step, by pass, see
      `macs.StepMacs`. matmul: see `machine.best_rate`. gmacs_per_s, share: of the fastest product of matrices.
    """
    import keras
    import tensorflow as tf

    from animegan_tf.benchmark.macs import count_step
    from animegan_tf.data.pipeline import array_batches
    from animegan_tf.training.backend import seed_backend
    from animegan_tf.training.build import build_trainer, samples_of
    from animegan_tf.training.phases import Phase, make_plan

    keras.mixed_precision.set_global_policy(config.precision)
    seed_backend(config.seed)
    samples = samples_of(config)
    trainer = build_trainer(config, samples, make_plan(config, 1))
    macs = count_step(trainer, config.batch_size)
    batch = next(array_batches(samples, config.batch_size))
    trainer.set_phase(Phase("train", 0, steps))
    data = tf.data.Dataset.from_tensors(batch).repeat()
    matmul = machine.matmul_jobs()
    jobs = {_STEP: ready(lambda: trainer.learn(data, 1, [])), **matmul}
    times = interleave(jobs, Pace(steps, math.inf), title="training")
    seconds = summary(milliseconds / 1000 for milliseconds in times[_STEP].values())
    rate = machine.best_rate({name: times[name] for name in matmul})
    reached = macs.total / 1e9 / seconds["median"]
    return {
        **{name: getattr(config, name) for name in ("recipe", "image_size", "batch_size")},
        "seconds": seconds,
        "images_per_s": config.batch_size / seconds["median"],
        "gmacs": {name: value / 1e9 for name, value in dataclasses.asdict(macs).items()},
        "matmul": rate,
        "gmacs_per_s": reached,
        "share": reached / rate["gmacs_per_s"],
    }
