"""The schedule of a run in steps: pre-training, then training, with their learning rates."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import ops

from animegan_tf.config import TrainConfig


@dataclass(frozen=True)
class Plan:
    """steps_per_epoch; pretrain_steps: end of pre-training; recipe_steps: end of the recipe; last_step: of this run."""

    steps_per_epoch: int
    pretrain_steps: int
    recipe_steps: int
    last_step: int

    def phases_from(self, step: int) -> list[tuple[bool, int, int]]:
        """Returns the (pretraining, first step, end step) still to run after `step` finished steps."""
        spans = ((True, 0, self.pretrain_steps), (False, self.pretrain_steps, self.last_step))
        cut = ((pretraining, max(first, step), min(end, self.last_step)) for pretraining, first, end in spans)
        return [phase for phase in cut if phase[1] < phase[2]]


def make_plan(config: TrainConfig, data_steps: int) -> Plan:
    """Returns the plan of `config`; `data_steps`: steps that go once through the larger set."""
    steps = config.steps_per_epoch or data_steps
    whole = config.epochs * steps
    last = min(whole, config.max_steps) if config.max_steps else whole
    return Plan(steps, config.pretrain_epochs * steps, whole, last)


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """`pretrain_rate` for the first `pretrain_steps`, then `rate`, constant or falling to 0 by a half cosine.

    The cosine ends at `total_steps`, the end of the recipe, wherever --max_steps stops this run.
    """

    def __init__(self, rate: float, *, pretrain_rate: float, pretrain_steps: int, total_steps: int, schedule: str):
        self.rate, self.pretrain_rate = rate, pretrain_rate
        self.pretrain_steps, self.total_steps, self.schedule = pretrain_steps, total_steps, schedule

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rate = self.rate
        if self.schedule == "cosine":
            done = (step - self.pretrain_steps) / max(1, self.total_steps - self.pretrain_steps)
            rate = self.rate * 0.5 * (1.0 + ops.cos(3.14159265 * ops.clip(done, 0.0, 1.0)))
        return ops.where(step < self.pretrain_steps, self.pretrain_rate, rate)

    def get_config(self):
        names = ("rate", "pretrain_rate", "pretrain_steps", "total_steps", "schedule")
        return {name: getattr(self, name) for name in names}


def build_optimizer(config: TrainConfig, side: str, plan: Plan) -> keras.optimizers.Optimizer:
    """Returns Adam for `side` ('generator' or 'discriminator'), with loss scaling under mixed_float16.

    Differs: the published code gives pre-training an Adam of its own; here the generator keeps one, moments included.
    """
    # The discriminator does not run during pre-training: its own count of steps starts after it.
    before = plan.pretrain_steps if side == "generator" else 0
    updates = 1 if side == "generator" else config.discriminator_steps
    schedule = LearningRate(
        getattr(config, f"{side}_lr"),
        pretrain_rate=config.pretrain_lr,
        pretrain_steps=before,
        total_steps=(plan.recipe_steps - plan.pretrain_steps) * updates + before,
        schedule=config.lr_schedule,
    )
    adam = keras.optimizers.Adam(
        schedule, beta_1=config.beta_1, beta_2=config.beta_2, global_clipnorm=config.clip_norm or None, name=side
    )
    return keras.optimizers.LossScaleOptimizer(adam) if config.precision == "mixed_float16" else adam
