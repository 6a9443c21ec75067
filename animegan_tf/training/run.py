"""A whole training run: wires data, networks, losses and callbacks, resumes, and fills the run folder."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError, DataError, ImageError, TrainingError
from animegan_tf.native import chosen_backend
from animegan_tf.options import run_program
from animegan_tf.recipe_files import with_recipe
from animegan_tf.training.backend import describe_device, load_backend, seed_backend
from animegan_tf.training.run_folder import (
    as_started,
    keep_schedule,
    opened_run,
    with_run_recipe,
    write_recipe,
)

PURPOSE = "Trains a generator on --photo_dir and --style_dir; start from a recipe of flags/ with --flagfile first."
_SAMPLE_COUNT = 6
_SAMPLE_SIDE = 256


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its folder, the steps finished in all, the last step's terms, whether it was stopped early."""

    run_dir: Path
    step: int
    logs: dict[str, float]
    stopped: bool


def train(
    config: TrainConfig,
    batches: Callable[[int], Iterable] | None = None,
    teacher: Callable[[np.ndarray], np.ndarray] | None = None,
    watch: Callable[[int], bool] | None = None,
) -> Outcome:
    """Trains as `config` says and returns how it ended.

    Args:
      config: the recipe and this run's paths.
      batches: in place of reading the folders: number of the first batch -> endless iterable of dicts of photo,
        anime, anime_gray, anime_smooth, [B*K, S, S, 3] float32 in [-1, 1]; called once a phase. The folders are
        still needed for the length of an epoch, the sample grids and gram_target=set and each.
      teacher: for distillation: [S, S, 3] uint8 RGB -> the same; called by several threads at once.
      watch: called with the number of steps finished in all after every step, and after its sample grid; when it
        returns True, training stops as by a signal: with a checkpoint.

    Raises:
      ConfigError, DataError, CheckpointError, TrainingError: each one sentence.
    """
    _check_paths(config)
    with opened_run(config) as run_dir:
        _prepare_keras(config)
        from animegan_tf.data.pipeline import user_errors
        from animegan_tf.training.build import build_trainer, samples_of
        from animegan_tf.training.phases import make_plan

        config = as_started(config, run_dir)
        samples = samples_of(config, teacher)
        if "label" in samples.extras:  # an empty --classes is decided now, and kept in the run's recipe
            config = replace(config, classes=samples.classes)
        photos = _sample_photos(config)
        plan = make_plan(config, samples.epoch_steps(config.batch_size * config.discriminator_steps))
        config = replace(config, steps_per_epoch=plan.steps_per_epoch)
        with user_errors(samples):
            trainer = build_trainer(config, samples, plan)
            first_step = _resume(trainer, run_dir) if config.resume else 0
            if config.resume:
                keep_schedule(config, run_dir)
            else:
                _start(trainer, config.start_from)
                write_recipe(config, run_dir)
            print(_summary(config, run_dir, samples, first_step, plan.last_step))
            outcome = _fit(config, run_dir, trainer, samples, photos, plan, first_step, batches, watch)
    for sentence in samples.broken():
        print(f"skipped: {sentence}", file=sys.stderr)
    return outcome


def main(argv: list[str] | None = None) -> int:
    """Entry point of `animegan-train` and tools/train.py; returns the exit code."""
    return run_program(
        TrainConfig,
        _run,
        program="animegan-train",
        purpose=PURPOSE,
        argv=argv,
        prepare=lambda argv: with_recipe(with_run_recipe(argv)),
    )


def _run(config: TrainConfig) -> None:
    outcome = train(config)
    if outcome.stopped:
        print(f"Stopped at step {outcome.step}; go on with: animegan-train --resume --run_dir={outcome.run_dir}")
        raise KeyboardInterrupt
    print(f"{outcome.step} steps done: {outcome.run_dir}")


def _check_paths(config: TrainConfig) -> None:
    for name in ("photo_dir", "style_dir"):
        if not getattr(config, name):
            raise ConfigError(f"--{name} is needed: a folder of pictures.")
    if config.resume and not config.run_dir:
        raise ConfigError("--resume needs --run_dir: the folder of the run to go on with.")


def _summary(config: TrainConfig, run_dir: Path, samples, first_step: int, last_step: int) -> str:
    pictures = f"{len(samples.photo)} photos, {len(samples.style)} style pictures"
    return f"{run_dir}: {pictures}, steps {first_step} to {last_step} on {describe_device()}, {config.precision}"


def _prepare_keras(config: TrainConfig) -> None:
    load_backend()
    import keras

    keras.mixed_precision.set_global_policy(config.precision)
    seed_backend(config.seed)


def _resume(trainer, run_dir: Path) -> int:
    from animegan_tf.training.checkpoints import restore_newest

    step, problems = restore_newest(trainer, run_dir)
    for sentence in problems:
        print(f"animegan-train: {sentence}", file=sys.stderr)
    return step


def _start(trainer, weights: str) -> None:
    from animegan_tf.training.checkpoints import load_start

    if weights:
        load_start(trainer, Path(weights))


def _fit(config, run_dir, trainer, samples, photos, plan, first_step, batches, watch) -> Outcome:
    from animegan_tf.training import callbacks as c
    from animegan_tf.training.build import shown_conditions
    from animegan_tf.training.checkpoints import list_checkpoints, save_checkpoint

    stop, last_logs = c.StopOnSignal(), _LastLogs()
    progress = c.Progress(
        run_dir=run_dir, batch_size=config.batch_size, first_step=first_step, last_step=plan.last_step
    )
    calls = [c.FiniteLosses(run_dir), stop, progress, c.Scalars(run_dir), last_logs.callback()]
    if photos is not None:
        shown = shown_conditions(samples, trainer.generator)
        every, last = config.sample_every, plan.last_step
        calls.append(c.SampleGrids(run_dir, photos, shown, every=every, last_step=last))
    if watch is not None:
        calls.append(c.Watched(watch, stop))
    every, keep = config.checkpoint_every, config.keep_checkpoints
    calls.append(c.Checkpoints(run_dir, every=every, keep=keep, last_step=plan.last_step))
    step = first_step
    with contextlib.closing(progress), stop:
        for phase in plan.phases_from(first_step):
            trainer.set_phase(phase)
            with _batches(config, samples, phase.first, batches) as data, _enough_memory():
                trainer.learn(data, phase.end - phase.first, calls)
            step = progress.step
            if stop.requested:
                break
        # A signal between the last step's checks and its checkpoint is noticed only here.
        if stop.requested and f"step-{step:08d}" not in [path.name for path in list_checkpoints(run_dir)]:
            save_checkpoint(trainer, run_dir, keep)
    return Outcome(run_dir, step, last_logs.logs, stop.requested and step < plan.last_step)


@contextlib.contextmanager
def _enough_memory() -> Iterator[None]:
    """Context in which the way that a backend runs out of memory is one sentence."""
    try:
        yield
    except Exception as error:  # TensorFlow has a class for it, JAX a word in the message
        exhausted = type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)
        if not exhausted and not isinstance(error, MemoryError):
            raise
        raise TrainingError("Not enough memory for a step: lower --batch_size or --image_size.") from error


@contextlib.contextmanager
def _batches(config: TrainConfig, samples, first: int, given: Callable[[int], Iterable] | None) -> Iterator[Iterable]:
    """Context with the batches from number `first` on: those given, or tf.data, or under JAX the same by threads."""
    from animegan_tf.data.pipeline import array_batches, build_dataset

    per_step = config.batch_size * config.discriminator_steps
    if given:
        yield given(first)
    elif chosen_backend() == "tensorflow":
        yield build_dataset(samples, per_step, start=first)
    else:
        # Not tf.data, even where it is installed: TensorFlow would take memory of the GPU that JAX trains on.
        with contextlib.closing(array_batches(samples, per_step, first, threads=os.cpu_count() or 1)) as own:
            yield own


class _LastLogs:
    """Keeps the newest step's terms for the caller."""

    def __init__(self):
        self.logs: dict[str, float] = {}

    def callback(self):
        import keras

        return keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: self.logs.update(logs))


def _sample_photos(config: TrainConfig) -> np.ndarray | None:
    from animegan_tf.data.edges import list_pictures

    if not config.sample_every:
        return None
    flag = "sample_dir" if config.sample_dir else "photo_dir"
    files = list_pictures(Path(getattr(config, flag)), flag)
    photos: list[np.ndarray] = []
    # Spread over the folder: its first files are often of one place and hour.
    for path in files[:: max(1, len(files) // _SAMPLE_COUNT)][:_SAMPLE_COUNT]:
        with contextlib.suppress(ImageError):
            photos.append(_square(images.read_thumbnail(path, _SAMPLE_SIDE)))
    if not photos:
        raise DataError(f"--{flag}={getattr(config, flag)}: none of the pictures for the sample grids can be read.")
    return images.to_float(np.stack(photos))


def _square(pixels: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (_SAMPLE_SIDE, _SAMPLE_SIDE)))
