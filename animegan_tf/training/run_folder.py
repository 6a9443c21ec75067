"""The folder of a run: where it is, whether it may be used, and the recipe kept in it.

00003-animeganv2_hayao/
  recipe.flags   re-runs it          log.txt        one line per logged step
  scalars/       TensorBoard         samples/       grids of fixed photos
  checkpoints/   see checkpoints.py
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from animegan_tf import images
from animegan_tf.config import TrainConfig, recipe_differences
from animegan_tf.errors import ConfigError
from animegan_tf.options import given_flag, parse_flags, to_flagfile
from animegan_tf.recipe_files import read_flagfile

RECIPE_NAME = "recipe.flags"
_PATHS = (
    *("photo_dir", "style_dir", "smooth_dir", "style_weights", "landmark_dir", "sample_dir"),
    *("vgg19_weights", "start_from"),
)
_WORDS = ("imagenet", "random")


def with_run_recipe(argv: list[str]) -> list[str]:
    """Returns `argv` such that `--resume --run_dir=R` alone goes on as the run was started.

    R/recipe.flags then comes first, and flags given win.
    """
    run_dir = given_flag(argv, "run_dir")
    resumes = any(a.lstrip("-") in ("resume", "resume=true", "resume=True", "resume=1") for a in argv)
    starts = any(given_flag(argv, name) is not None for name in ("flagfile", "recipe"))
    if resumes and run_dir and not starts and (Path(run_dir) / RECIPE_NAME).is_file():
        return [f"--flagfile={Path(run_dir) / RECIPE_NAME}", *argv]
    return argv


@contextlib.contextmanager
def opened_run(config: TrainConfig) -> Iterator[Path]:
    """Context with the run's folder, made where it is new; a start that fails leaves no empty folder behind.

    Raises:
      ConfigError: it already holds a run, holds none to resume, holds one of another recipe, cannot be written to, or
        another process trains in it.
    """
    run_dir = Path(config.run_dir) if config.run_dir else _claimed_run_dir(Path("runs"), config.recipe)
    if config.resume:
        _check_same_run(config, run_dir)
    else:
        _check_free(run_dir)
    is_new = not config.run_dir or not run_dir.exists()
    _make(run_dir)
    try:
        with _locked(run_dir):
            yield run_dir
    except BaseException:
        with contextlib.suppress(OSError):  # not empty: a run worth keeping
            if is_new:
                run_dir.rmdir()
        raise


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Context in which no other process trains in the folder; without effect on Windows."""
    if os.name != "posix":
        yield
        return
    import fcntl

    # The folder itself, so that no file is left behind.
    handle = os.open(run_dir, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"Another process trains in --run_dir={run_dir}.") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


def as_started(config: TrainConfig, run_dir: Path) -> TrainConfig:
    """Returns `config` with what the folders decided when the run was started, where it is resumed.

    That are the classes and the steps of an epoch, unless flags name them: pictures that have come since must not move
    a schedule of which a part is done.
    """
    if not config.resume:
        return config
    started = read_flagfile(run_dir / RECIPE_NAME)
    return replace(
        config,
        classes=config.classes or started.classes,
        steps_per_epoch=config.steps_per_epoch or started.steps_per_epoch,
    )


def next_run_dir(root: Path, recipe: str) -> Path:
    """Returns the next free `root/NNNNN-recipe`."""
    taken = [int(p.name[:5]) for p in root.glob("[0-9][0-9][0-9][0-9][0-9]-*")]
    return root / f"{max(taken, default=-1) + 1:05d}-{recipe}"


def _claimed_run_dir(root: Path, recipe: str) -> Path:
    """Returns the next free folder of a run, which is made."""
    _make(root)  # by itself: what stands in its place would else be taken for a run that another process has made
    while True:
        run_dir = next_run_dir(root, recipe)
        try:
            run_dir.mkdir()
            return run_dir
        except FileExistsError:  # by another process, since
            continue
        except OSError as error:
            raise ConfigError(f"--run_dir={run_dir} cannot be made: {error.strerror}.") from None


def write_recipe(config: TrainConfig, run_dir: Path, origin: str = "") -> None:
    """Writes run_dir/recipe.flags, paths made absolute, so that it re-runs from anywhere.

    Args:
      origin: in place of the command that runs it again, for a run that does not start from random weights.
    """
    paths: dict[str, Any] = {name: absolute(getattr(config, name)) for name in _PATHS}
    path, further = run_dir / RECIPE_NAME, _further_names(config)
    program = "python tools/distill.py" if further else "animegan-train"
    again = f"Again: {program} --flagfile={path.absolute()} --run_dir=ANOTHER"
    header = f"The recipe of this run. {origin or again}"
    started = replace(config, **paths, run_dir=str(run_dir.absolute()), resume=False, max_steps=0)
    text = to_flagfile(started, header)
    if further:  # export reads the recipe, too, and knows TrainConfig alone
        text += f"--undefok={','.join(further)}\n"
    images.write_atomic(path, text.encode())


def keep_schedule(config: TrainConfig, run_dir: Path) -> None:
    """Writes the schedule of `config` into run_dir/recipe.flags, where it is another than the run was started with.

    A run may go on with more epochs; the next `--resume` would take it back to those it was started with.
    """
    path = run_dir / RECIPE_NAME
    schedule = {f"--{f.name}" for f in dataclasses.fields(TrainConfig) if f.metadata["group"] == "schedule"}
    now = {line.partition("=")[0]: line for line in to_flagfile(config).splitlines()}
    before = path.read_text(encoding="utf-8")
    lines = [now[name] if (name := line.partition("=")[0]) in schedule else line for line in before.splitlines()]
    text = "\n".join(lines) + "\n"
    if text != before:
        images.write_atomic(path, text.encode())


def _further_names(config: TrainConfig) -> list[str]:
    """Returns what a subclass of TrainConfig adds, such as distillation's teacher."""
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    return [field.name for field in dataclasses.fields(config) if field.name not in known]


def _make(run_dir: Path) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--run_dir={run_dir} cannot be made: {error.strerror}.") from None
    if not os.access(run_dir, os.W_OK):
        raise ConfigError(f"--run_dir={run_dir} cannot be written to.")


def _check_free(run_dir: Path) -> None:
    if any((run_dir / "checkpoints").glob("step-*")):
        raise ConfigError(f"--run_dir={run_dir} already holds a run: add --resume, or choose another folder.")
    if (run_dir / RECIPE_NAME).exists():
        raise ConfigError(
            f"--run_dir={run_dir} holds a run that ended before its first checkpoint: remove it, or choose another."
        )


def _check_same_run(config: TrainConfig, run_dir: Path) -> None:
    path = run_dir / RECIPE_NAME
    if not path.is_file():
        raise ConfigError(f"--run_dir={run_dir} holds no run to resume: it has no {RECIPE_NAME}.")
    started = parse_flags(type(config), [f"--flagfile={path}"])
    names = recipe_differences(as_started(config, run_dir), started)
    if names:
        raise ConfigError(f"--run_dir={run_dir} was trained with another recipe: it differs in --{', --'.join(names)}.")
    for name in (*_PATHS, "precision", *_further_names(config)):
        before, now = getattr(started, name), getattr(config, name)
        if absolute(now) != absolute(before):
            print(f"animegan-train: --{name}={now} was {before} when this run started.", file=sys.stderr)


def absolute(value: str) -> str:
    """Returns `value` as an absolute path if something is there; words that flags of paths also take stay."""
    return os.path.abspath(value) if value and value not in _WORDS and os.path.exists(value) else value
