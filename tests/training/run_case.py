"""Runs prepared steps of a toy trainer: `python run_case.py FOLDER...` is the other backend's side of test_jax.py.

FOLDER/recipe.flags is the configuration, batch.npz a batch, plan.json [[stage, first, end, ...Phase], ...], and
checkpoints/ the state to start from, where there is one. FOLDER/BACKEND/ gets the state after the steps and logs.json,
the terms of every step.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import keras
import numpy as np
from toys import TOYS, toy_trainer

from animegan_tf.config import TrainConfig
from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.recipe_files import read_flagfile
from animegan_tf.training.backend import seed_backend
from animegan_tf.training.checkpoints import list_checkpoints, restore_newest, save_checkpoint
from animegan_tf.training.double_tail import DoubleTailObjective, DoubleTailTrainer
from animegan_tf.training.objective import Objective, feature_names, mean_grams
from animegan_tf.training.phases import Phase, build_optimizer, make_plan
from animegan_tf.training.trainer import Trainer


def set_objective(config: TrainConfig, features) -> Objective:
    """Returns the objective with Gram matrices of a set of one picture: with --gram_memory it has variables."""
    picture = np.random.default_rng(4).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    return Objective(config, features, mean_grams(features, config.style_layers, [picture]))


def double_tail_trainer(config: TrainConfig) -> DoubleTailTrainer:
    """Returns AnimeGANv3's trainer with networks of width 4."""
    seed_backend(1)
    plan = make_plan(config, 4)
    trainer = DoubleTailTrainer(
        generator=build_generator("animeganv3", 4),
        objective=DoubleTailObjective(config, build_vgg19(feature_names(config), "random")),
        discriminator=build_discriminator("animeganv3", 4),
        main_discriminator=build_discriminator("animeganv3", 4),
    )
    trainer.compile(optimizer=lambda side: build_optimizer(config, side, plan, trainer.step))
    return trainer


def build_case(folder: Path) -> Trainer:
    """Returns the trainer of a case, in its starting state."""
    config = read_flagfile(folder / "recipe.flags")
    keras.mixed_precision.set_global_policy(config.precision)
    build = double_tail_trainer if config.generator == "animeganv3" else toy_trainer
    trainer = build(config) if build is double_tail_trainer else build(config, set_objective)
    for name, owner in trainer.parts.items():
        if name.endswith("optimizer"):
            # Where the true gradient is 0, as of a bias before batch norm, Adam makes a step of the rounding error.
            getattr(owner, "inner_optimizer", owner).epsilon = 1e-3
    if list_checkpoints(folder):
        restore_newest(trainer, folder)
    return trainer


def run_case(folder: Path) -> Trainer:
    """Trains the case's steps, writes its results, and returns the trainer."""
    trainer = build_case(folder)
    with np.load(folder / "batch.npz") as file:
        batch = dict(file)
    steps: list[dict] = []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: steps.append(dict(logs)))
    for phase in (Phase(*values) for values in json.loads((folder / "plan.json").read_text())):
        trainer.set_phase(phase)
        if keras.backend.backend() == "jax":
            trainer.learn(itertools.repeat(batch), phase.end - phase.first, [keep])
            continue
        for _ in range(phase.first, phase.end):  # as a graph TensorFlow's steps are tested elsewhere
            steps.append({name: float(value) for name, value in trainer.train_step(batch).items()})
    result = folder / keras.backend.backend()
    save_checkpoint(trainer, result, keep=1)
    (result / "logs.json").write_text(json.dumps(steps))
    keras.mixed_precision.set_global_policy("float32")
    return trainer


if __name__ == "__main__":
    for networks, toy in TOYS:
        networks["toy"] = toy
    for name in sys.argv[1:]:
        run_case(Path(name))
    if "tensorflow" in sys.modules:
        sys.exit("a step under JAX loaded TensorFlow")
