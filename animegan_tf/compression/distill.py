"""Distillation: a small student learns to paint what a teacher paints.

Source: Li et al. 2020, GAN Compression, section 3.1: L1 between the pictures of student and teacher.
Differs: the feature term compares VGG19 features of both pictures, not features inside both networks, so that any
teacher serves, also one of which there is only an exported file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError
from animegan_tf.native import load_tensorflow
from animegan_tf.options import option
from animegan_tf.training.run import Outcome, train


@dataclass(frozen=True, kw_only=True)
class DistillConfig(TrainConfig):
    """A training configuration, and who teaches; see `TrainConfig`."""

    style_dir: str = option(
        "", "folder of style pictures, for adversarial and style terms; empty without such terms", "run"
    )
    teacher: str = option("", "a style folder, the name of a shipped style, or a run folder", "run")
    teacher_label: str = option("", "which style, of a teacher that holds several; a blend: a:0.7,b:0.3", "run")
    teacher_style_image: str = option("", "style picture, for a teacher that follows one", "run")
    teacher_backend: str = option(
        "tflite", "runs a teacher that is a style folder", "run", choices=("tflite", "onnx", "saved_model")
    )


def distill(config: DistillConfig, teacher: Callable[[np.ndarray], np.ndarray]) -> Outcome:
    """Trains the recipe's generator as the student of `teacher`, and returns how it ended.

    Args:
      config: the recipe and this run's paths; without --style_dir, and terms that need one, the photos stand in for
        the style pictures that every batch holds.
      teacher: [S, S, 3] uint8 RGB -> the same; called on augmented photos, by several threads at once.

    Raises:
      ConfigError: no term looks at the teacher, or the student takes more than a photo. Otherwise as
        `training.run.train`.
    """
    if not (config.output_weight or config.feature_weight):
        raise ConfigError("--output_weight and --feature_weight are both 0: nothing is learnt from the teacher.")
    load_tensorflow("Distillation")
    from animegan_tf.models import GENERATORS

    student = GENERATORS.get(config.generator)
    if student is not None and student.streams:
        raise ConfigError(
            f"--generator={config.generator} takes a {student.streams[0]} besides the photo: a student learns one "
            "style, so choose a generator that takes the photo alone."
        )
    if not (config.style_dir or config.adversarial or config.gram_weight):
        config = replace(config, style_dir=config.photo_dir)
    return train(config, teacher=teacher)
