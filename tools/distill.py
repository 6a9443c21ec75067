"""Trains a small generator to paint what a style, or the network of a run, paints.

python tools/distill.py --flagfile=flags/mobile_distilled.flags --photo_dir=PHOTOS --teacher=hokusai
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.compression.distill import DistillConfig, distill
from animegan_tf.errors import ConfigError
from animegan_tf.native import load_tensorflow
from animegan_tf.options import run_program
from animegan_tf.recipe_files import with_recipe
from animegan_tf.runtime.looks import parse_label
from animegan_tf.runtime.stylizer import Stylizer, list_styles
from animegan_tf.training.run_folder import RECIPE_NAME, with_run_recipe

PURPOSE = "Trains a generator to paint what --teacher paints; start from a recipe with --flagfile first."


def load_teacher(config: DistillConfig) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the teacher: [H, W, 3] uint8 RGB of any size -> the same. Raises an AnimeganError, one sentence."""
    if not config.teacher:
        raise ConfigError("--teacher is needed: a style folder, the name of a shipped style, or a run folder.")
    if config.teacher not in list_styles() and (Path(config.teacher) / RECIPE_NAME).is_file():
        return _network_of(config)
    stylizer = Stylizer.load(config.teacher, config.teacher_backend)
    _check_choices(config, bool(stylizer.classes), "code" in stylizer.manifest.inputs)
    code = stylizer.encode(config.teacher_style_image) if config.teacher_style_image else None
    look = stylizer.look(parse_label(config.teacher_label) if config.teacher_label else None, code)
    return lambda photo: stylizer.stylize(photo, look)


def _network_of(config: DistillConfig) -> Callable[[np.ndarray], np.ndarray]:
    load_tensorflow("Distillation")
    from animegan_tf.export.load import load_run
    from animegan_tf.export.reference import stylize_pixels

    recipe, generator, _ = load_run(Path(config.teacher))
    if generator.inputs_shape:
        further = " and ".join(generator.inputs_shape)
        raise ConfigError(f"--teacher={config.teacher}: {recipe.generator} takes {further}: teach from its export.")
    _check_choices(config, False, False)
    return lambda photo: images.to_uint8(stylize_pixels(generator, photo, {}))


def _check_choices(config: DistillConfig, needs_label: bool, needs_style_image: bool) -> None:
    for name, needed in (("label", needs_label), ("style_image", needs_style_image)):
        if needed != bool(getattr(config, f"teacher_{name}")):
            raise ConfigError(f"--teacher={config.teacher} {'needs' if needed else 'takes no'} --teacher_{name}.")


def _absolute(config: DistillConfig) -> DistillConfig:
    """Returns `config` with absolute paths, so that the recipe in the run folder works from anywhere."""
    teacher = config.teacher if config.teacher in list_styles() else os.path.abspath(config.teacher)
    picture = config.teacher_style_image and os.path.abspath(config.teacher_style_image)
    return replace(config, teacher=teacher, teacher_style_image=picture)


def _run(config: DistillConfig) -> None:
    teacher = load_teacher(config)
    outcome = distill(_absolute(config), teacher)
    if outcome.stopped:
        print(f"Stopped at step {outcome.step}; go on with: tools/distill.py --resume --run_dir={outcome.run_dir}")
        raise KeyboardInterrupt
    print(f"{outcome.step} steps done: {outcome.run_dir}")


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_program(
        DistillConfig,
        _run,
        program="distill",
        purpose=PURPOSE,
        argv=argv,
        prepare=lambda argv: with_recipe(with_run_recipe(argv)),
    )


if __name__ == "__main__":
    sys.exit(main())
