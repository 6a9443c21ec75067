"""The schedule of a run in steps: who learns, at which size, and at which learning rate.

Two schedules lie over each other. Stages: the discriminator alone, the generator on its content term, both.
Sizes: progressive growing from a small side to the full one, each new size faded in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
from keras import ops

from animegan_tf.config import TrainConfig
from animegan_tf.training.muon import Muon

STAGES = ("discriminator", "pretrain", "train")


@dataclass(frozen=True)
class Phase:
    """Steps `first` to `end` - 1 of a run, in which nothing changes that is compiled into the training step.

    stage: one of STAGES. shrink: pictures are reduced by this factor. fade_first, fade_steps: from step fade_first
    the pictures turn over fade_steps steps from those of the next smaller size into this size's; 0 steps: at once.
    norms_frozen: the generator's norms use their running statistics, as they will at inference, while its weights
    learn. Over a batch of four, statistics follow the single picture, and a network may come to rely on that.
    """

    stage: str
    first: int
    end: int
    shrink: int = 1
    fade_first: int = 0
    fade_steps: int = 0
    norms_frozen: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps of a recipe.

    steps_per_epoch: the recipe's, or those that go once through the larger set. discriminator_steps: end of the stage
    in which D learns alone. pretrain_steps: end of pre-training. frozen_from: step from which the generator's norms are
    frozen, if ever. recipe_steps: end of the recipe. last_step: of this run. sizes: see `Phase`, each with its first
    step.
    """

    steps_per_epoch: int
    discriminator_steps: int
    pretrain_steps: int
    recipe_steps: int
    last_step: int
    sizes: tuple[tuple[int, int], ...] = ((0, 1),)
    fade_steps: int = 0
    frozen_from: int | None = None

    def phases_from(self, step: int) -> list[Phase]:
        """Returns the phases still to run after `step` finished steps."""
        ends = (self.discriminator_steps, self.pretrain_steps, self.recipe_steps)
        frozen_from = self.recipe_steps if self.frozen_from is None else self.frozen_from
        cuts = sorted({0, *ends, frozen_from, *(first for first, _ in self.sizes)})
        phases = []
        for first, end in zip(cuts, [*cuts[1:], self.recipe_steps], strict=True):
            first, end = max(first, step), min(end, self.last_step)
            if first < end:
                stage = STAGES[sum(first >= border for border in ends[:2])]
                phases.append(Phase(stage, first, end, *self._size(first), norms_frozen=first >= frozen_from))
        return phases

    def _size(self, step: int) -> tuple[int, int, int]:
        first, shrink = max(size for size in self.sizes if size[0] <= step)
        grown = first > 0
        return shrink, first * grown, self.fade_steps * grown


def make_plan(config: TrainConfig, data_steps: int) -> Plan:
    """Returns the plan of `config`; `data_steps`: steps that go once through the larger set."""
    steps = config.steps_per_epoch or data_steps
    whole = config.epochs * steps
    last = min(whole, config.max_steps) if config.max_steps else whole
    before = config.discriminator_pretrain_epochs * steps
    per_size = config.progressive_epochs * steps
    return Plan(
        steps_per_epoch=steps,
        discriminator_steps=before,
        pretrain_steps=before + config.pretrain_epochs * steps,
        recipe_steps=whole,
        last_step=last,
        sizes=tuple((k * per_size, shrink) for k, shrink in enumerate(_shrinks(config))),
        fade_steps=round(config.progressive_fade * per_size),
        frozen_from=whole - config.frozen_norm_epochs * steps if config.frozen_norm_epochs else None,
    )


def _shrinks(config: TrainConfig) -> list[int]:
    """Returns the factors by which pictures are reduced, size after size: [4, 2, 1]; [1] without growing."""
    largest = config.image_size // (config.progressive_start or config.image_size)
    return [2**k for k in range(int(math.log2(largest)), -1, -1)]


@dataclass(frozen=True)
class LearningRate:
    """`pretrain_rate` for the first `pretrain_steps`, then `rate`, constant or falling to 0 by a half cosine.

    The cosine ends at `total_steps`, the end of the recipe, wherever --max_steps stops this run. With the schedule
    'cosine_stages' the rate of pre-training falls to 0 as well.
    """

    rate: float
    pretrain_rate: float
    pretrain_steps: int
    total_steps: int
    schedule: str

    def __call__(self, step):
        """Returns the rate after `step` finished steps of the whole run, a scalar."""
        step, before, rate = ops.cast(step, "float32"), self.pretrain_rate, self.rate
        if self.schedule != "constant":
            rate *= _fall((step - self.pretrain_steps) / max(1, self.total_steps - self.pretrain_steps))
        if self.schedule == "cosine_stages":
            before *= _fall(step / max(1, self.pretrain_steps))
        return ops.where(step < self.pretrain_steps, before, rate)


def _fall(done):
    """Returns the half cosine, 1 at 0 and 0 at 1."""
    return 0.5 * (1.0 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))


def build_optimizer(config: TrainConfig, side: str, plan: Plan, step) -> keras.optimizers.Optimizer:
    """Returns Adam for `side` ('generator' or 'discriminator'), or what --generator_optimizer names.

    Under mixed_float16 it scales the loss.

    Its rate follows `step`, the trainer's variable, and not the optimizer's own count: that leaves out the steps
    that loss scaling skips.
    Differs: the published code gives pre-training an Adam of its own; here the generator keeps one, moments included.
    """
    main = getattr(config, f"{side}_lr")
    before = config.pretrain_lr if side == "generator" else main  # the discriminator has no pre-training
    alone = side == "discriminator" and config.lr_schedule == "cosine_stages"
    schedule = "cosine" if alone else config.lr_schedule
    rate = LearningRate(main, before, plan.pretrain_steps, plan.recipe_steps, schedule)
    kind = Muon if side == "generator" and config.generator_optimizer == "muon" else keras.optimizers.Adam
    optimizer = kind(
        lambda: rate(step), config.beta_1, config.beta_2, global_clipnorm=config.clip_norm or None, name=side
    )
    return keras.optimizers.LossScaleOptimizer(optimizer) if config.precision == "mixed_float16" else optimizer
