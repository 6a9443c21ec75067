"""A whole training run: wires data, networks, losses and callbacks, resumes, and writes the run folder.

00003-animeganv2_hayao/
  recipe.flags   re-runs it          log.txt        one line per logged step
  scalars/       TensorBoard         samples/       grids of fixed photos
  checkpoints/   see checkpoints.py
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.config import TrainConfig, read_flagfile, recipe_differences, run_program, to_flagfile
from animegan_tf.errors import CheckpointError, ConfigError, DataError
from animegan_tf.native import load_tensorflow

RECIPE_NAME = "recipe.flags"
PURPOSE = "Trains a generator on --photo_dir and --style_dir; start from a recipe of flags/ with --flagfile first."
_STYLE_BATCHES = 24
_SAMPLE_COUNT = 6
_SAMPLE_SIDE = 256


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its folder, the steps finished in all, the last step's terms, whether a signal stopped it."""

    run_dir: Path
    step: int
    logs: dict[str, float]
    stopped: bool


def train(config: TrainConfig, batches: Iterable | None = None) -> Outcome:
    """Trains as `config` says and returns how it ended.

    Args:
      config: the recipe and this run's paths.
      batches: dicts of photo, anime, anime_gray, anime_smooth, [B*K, S, S, 3] float32 in [-1, 1], in place of
        tf.data over the folders; must be endless and start at the batch that comes next. The folders are still
        needed for the sample grids and gram_target=set.

    Raises:
      ConfigError, DataError, CheckpointError, TrainingError: each one sentence.
    """
    _check_paths(config)
    config, run_dir = _open_run(config)
    _prepare_keras(config)
    from animegan_tf.data.pipeline import user_errors
    from animegan_tf.training.phases import make_plan

    with _removed_if_empty(run_dir):
        samples = _build_samples(config)
    plan = make_plan(config, samples.epoch_steps(config.batch_size))
    with user_errors(samples), _removed_if_empty(run_dir):
        trainer = _build_trainer(config, samples, plan)
        _write_recipe(config, run_dir)
        first_step = _resume(trainer, run_dir) if config.resume else 0
        print(_summary(config, run_dir, samples, first_step, plan.last_step))
        outcome = _fit(config, run_dir, trainer, samples, plan, first_step, batches)
    for sentence in samples.broken():
        print(f"skipped: {sentence}", file=sys.stderr)
    return outcome


def main(argv: list[str] | None = None) -> int:
    """Entry point of `animegan-train` and tools/train.py; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    return run_program(TrainConfig, _run, program="animegan-train", purpose=PURPOSE, argv=_with_run_recipe(argv))


def _run(config: TrainConfig) -> None:
    outcome = train(config)
    if outcome.stopped:
        print(f"Stopped at step {outcome.step}; go on with: animegan-train --resume --run_dir={outcome.run_dir}")
        raise KeyboardInterrupt
    print(f"{outcome.step} steps done: {outcome.run_dir}")


def _with_run_recipe(argv: list[str]) -> list[str]:
    # `--resume --run_dir=R` alone goes on as the run was started: R/recipe.flags comes first, given flags win.
    run_dirs = [a.split("=", 1)[1] for a in argv if a.startswith("--run_dir=")]
    resumes = any(a in ("--resume", "--resume=true") for a in argv)
    starts = any(a.startswith(("--flagfile", "--recipe")) for a in argv)
    if resumes and run_dirs and not starts and (Path(run_dirs[-1]) / RECIPE_NAME).is_file():
        return [f"--flagfile={Path(run_dirs[-1]) / RECIPE_NAME}", *argv]
    return argv


def _check_paths(config: TrainConfig) -> None:
    for name in ("photo_dir", "style_dir"):
        if not getattr(config, name):
            raise ConfigError(f"--{name} is needed: a folder of pictures.")
    if config.resume and not config.run_dir:
        raise ConfigError("--resume needs --run_dir: the folder of the run to go on with.")


def _open_run(config: TrainConfig) -> tuple[TrainConfig, Path]:
    run_dir = Path(config.run_dir) if config.run_dir else _next_run_dir(Path("runs"), config.recipe)
    if config.resume:
        _check_same_recipe(config, run_dir)
    elif (run_dir / "checkpoints").exists():
        raise CheckpointError(f"--run_dir={run_dir} already holds a run: add --resume, or choose another folder.")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--run_dir={run_dir} cannot be made: {error.strerror}.") from None
    if not os.access(run_dir, os.W_OK):
        raise ConfigError(f"--run_dir={run_dir} cannot be written to.")
    return replace(config, run_dir=str(run_dir)), run_dir


@contextlib.contextmanager
def _removed_if_empty(run_dir: Path) -> Iterator[None]:
    """Context in which a start that fails leaves no empty run folder behind."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: a run worth keeping
            run_dir.rmdir()
        raise


def _next_run_dir(root: Path, recipe: str) -> Path:
    taken = [int(p.name[:5]) for p in root.glob("[0-9][0-9][0-9][0-9][0-9]-*")]
    return root / f"{max(taken, default=-1) + 1:05d}-{recipe}"


def _check_same_recipe(config: TrainConfig, run_dir: Path) -> None:
    path = run_dir / RECIPE_NAME
    if not path.is_file():
        raise CheckpointError(f"--run_dir={run_dir} holds no run to resume: it has no {RECIPE_NAME}.")
    names = recipe_differences(config, read_flagfile(path))
    if names:
        raise CheckpointError(
            f"--run_dir={run_dir} was trained with another recipe: it differs in --{', --'.join(names)}."
        )


def _write_recipe(config: TrainConfig, run_dir: Path) -> None:
    # Reached only after data and networks were found good: a failed start leaves nothing to resume from.
    header = f"The recipe of this run. Again: animegan-train --flagfile={RECIPE_NAME} --run_dir=ANOTHER"
    text = to_flagfile(replace(config, resume=False, max_steps=0), header)
    images.write_atomic(run_dir / RECIPE_NAME, text.encode())


def _summary(config: TrainConfig, run_dir: Path, samples, first_step: int, last_step: int) -> str:
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    device = f"{gpus} GPU" if gpus else f"CPU, {os.cpu_count()} cores"
    pictures = f"{len(samples.photo)} photos, {len(samples.style)} style pictures"
    return f"{run_dir}: {pictures}, steps {first_step} to {last_step} on {device}, {config.precision}"


def _prepare_keras(config: TrainConfig) -> None:
    load_tensorflow("Training")
    import keras

    keras.mixed_precision.set_global_policy(config.precision)
    keras.utils.set_random_seed(config.seed)


def _build_samples(config: TrainConfig):
    from animegan_tf.data.augment import Augmentation
    from animegan_tf.data.pipeline import build_samples

    def augmentation(stream: str) -> Augmentation:
        low, high = getattr(config, f"{stream}_crop_min"), getattr(config, f"{stream}_crop_max")
        return Augmentation(config.image_size, low, high, config.flip, config.brightness, config.contrast)

    return build_samples(
        photo_dir=Path(config.photo_dir),
        style_dir=Path(config.style_dir),
        smooth_dir=Path(config.smooth_dir) if config.smooth_dir else None,
        photo_augmentation=augmentation("photo"),
        style_augmentation=augmentation("style"),
        seed=config.seed,
        cache_mb=config.cache_mb,
    )


def _build_trainer(config: TrainConfig, samples, plan):
    from animegan_tf.models import build_discriminator, build_generator
    from animegan_tf.training.phases import build_optimizer
    from animegan_tf.training.trainer import Trainer

    generator = build_generator(config.generator, config.generator_width)
    discriminator = None
    if config.adversarial:
        discriminator = build_discriminator(config.discriminator, config.discriminator_width)
    averaged = build_generator(config.generator, config.generator_width) if config.ema_decay else None
    trainer = Trainer(
        generator=generator,
        discriminator=discriminator,
        averaged=averaged,
        objective=_build_objective(config, samples),
        discriminator_steps=config.discriminator_steps,
        ema_decay=config.ema_decay,
    )
    trainer.compile(
        generator_optimizer=build_optimizer(config, "generator", plan),
        discriminator_optimizer=build_optimizer(config, "discriminator", plan) if discriminator else None,
        jit_compile=config.xla,
    )
    return trainer


def _build_objective(config: TrainConfig, samples):
    from animegan_tf.models.vgg19 import build_vgg19
    from animegan_tf.training.objective import Objective, feature_names, mean_grams

    features = build_vgg19(feature_names(config), config.vgg19_weights)
    grams = None
    if config.gram_weight and config.gram_target == "set":
        grams = mean_grams(features, config.style_layers, _style_batches(config, samples))
    return Objective(config, features, grams)


def _style_batches(config: TrainConfig, samples):
    position = 2 if config.gram_picture == "gray" else 1
    for k in range(_STYLE_BATCHES):
        indices = range(k * config.batch_size, (k + 1) * config.batch_size)
        yield images.to_float(np.stack([samples.sample(i)[position] for i in indices]))


def _resume(trainer, run_dir: Path) -> int:
    from animegan_tf.training.checkpoints import restore_newest

    step, problems = restore_newest(trainer, run_dir)
    for sentence in problems:
        print(f"animegan-train: {sentence}", file=sys.stderr)
    return step


def _fit(config, run_dir, trainer, samples, plan, first_step, batches) -> Outcome:
    from animegan_tf.data.pipeline import build_dataset
    from animegan_tf.training import callbacks as c

    stop = c.StopOnSignal()
    progress = c.Progress(
        run_dir=run_dir, batch_size=config.batch_size, first_step=first_step, last_step=plan.last_step
    )
    last_logs = _LastLogs()
    calls = [c.FiniteLosses(run_dir), stop, progress, c.Scalars(run_dir), last_logs.callback()]
    if config.sample_every:
        calls.append(c.SampleGrids(run_dir, _sample_photos(config, samples), config.sample_every))
    every, keep = config.checkpoint_every, config.keep_checkpoints
    calls.append(c.Checkpoints(run_dir, every=every, keep=keep, last_step=plan.last_step))
    step = first_step
    with contextlib.closing(progress), stop:
        for pretraining, first, end in plan.phases_from(first_step):
            trainer.set_pretraining(pretraining)
            per_step = config.batch_size * config.discriminator_steps
            # Keras wants tuples from a plain iterable.
            data = build_dataset(samples, per_step, start=first) if batches is None else ((b,) for b in batches)
            trainer.fit(data, steps_per_epoch=end - first, epochs=1, verbose=0, shuffle=False, callbacks=calls)
            step = progress.step
            if stop.requested:
                break
    return Outcome(run_dir, step, last_logs.logs, stop.requested and step < plan.last_step)


class _LastLogs:
    """Keeps the newest step's terms for the caller."""

    def __init__(self):
        self.logs: dict[str, float] = {}

    def callback(self):
        import keras

        return keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: self.logs.update(logs))


def _sample_photos(config: TrainConfig, samples) -> np.ndarray:
    folder = Path(config.sample_dir or config.photo_dir)
    photos: list[np.ndarray] = []
    files = images.find_images(folder) if folder.is_dir() else []
    if not files:
        raise DataError(f"--sample_dir={folder} holds no pictures.")
    # Spread over the folder: its first files are often of one place and hour.
    for path in files[:: max(1, len(files) // _SAMPLE_COUNT)][:_SAMPLE_COUNT]:
        with contextlib.suppress(images.ImageError):
            photos.append(_square(images.read_thumbnail(path, _SAMPLE_SIDE)))
    if not photos:
        raise DataError(f"--sample_dir={folder}: none of its pictures can be read.")
    return images.to_float(np.stack(photos))


def _square(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (_SAMPLE_SIDE, _SAMPLE_SIDE)))
