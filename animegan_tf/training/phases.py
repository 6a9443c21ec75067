"""The schedule of a run in steps: pre-training, then training, with their learning rates."""

from __future__ import annotations

import math
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


@dataclass(frozen=True)
class LearningRate:
    """`pretrain_rate` for the first `pretrain_steps`, then `rate`, constant or falling to 0 by a half cosine.

    The cosine ends at `total_steps`, the end of the recipe, wherever --max_steps stops this run.
    """

    rate: float
    pretrain_rate: float
    pretrain_steps: int
    total_steps: int
    schedule: str

    def __call__(self, step):
        """Returns the rate after `step` finished steps of the whole run, a scalar."""
        step = ops.cast(step, "float32")
        rate = self.rate
        if self.schedule == "cosine":
            done = (step - self.pretrain_steps) / max(1, self.total_steps - self.pretrain_steps)
            rate = self.rate * 0.5 * (1.0 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))
        return ops.where(step < self.pretrain_steps, self.pretrain_rate, rate)


def build_optimizer(config: TrainConfig, side: str, plan: Plan, step) -> keras.optimizers.Optimizer:
    """Returns Adam for `side` ('generator' or 'discriminator'), with loss scaling under mixed_float16.

    Its rate follows `step`, the trainer's variable, and not the optimizer's own count: that leaves out the steps
    that loss scaling skips.
    Differs: the published code gives pre-training an Adam of its own; here the generator keeps one, moments included.
    """
    main = getattr(config, f"{side}_lr")
    before = config.pretrain_lr if side == "generator" else main  # the discriminator has no pre-training
    rate = LearningRate(main, before, plan.pretrain_steps, plan.recipe_steps, config.lr_schedule)
    adam = keras.optimizers.Adam(
        lambda: rate(step), config.beta_1, config.beta_2, global_clipnorm=config.clip_norm or None, name=side
    )
    return keras.optimizers.LossScaleOptimizer(adam) if config.precision == "mixed_float16" else adam
