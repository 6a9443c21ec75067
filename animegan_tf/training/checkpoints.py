"""Checkpoints of everything a run needs to go on exactly: networks, optimizers, average, step.

    checkpoints/step-00000400/state.npz              every variable, by part and position
    checkpoints/step-00000400/generator.weights.h5   the generator to export (averaged, where there is an average)

Shuffles and augmentation depend on the seed and the step alone (see data/samples.py), so they need no state here.
A checkpoint is written under a temporary name and renamed: what bears its final name is complete.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np

from animegan_tf.errors import CheckpointError, TrainingError
from animegan_tf.models import Generator, load_weights
from animegan_tf.training.trainer import Trainer

WEIGHTS_NAME = "generator.weights.h5"
_STATE_NAME = "state.npz"
_HDF5_BYTES = 8192  # about each variable, more than HDF5 needs
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def list_checkpoints(run_dir: Path) -> list[Path]:
    """Returns the checkpoint folders of a run, oldest first."""
    return sorted((run_dir / "checkpoints").glob("step-*[0-9]"))


def save_checkpoint(trainer: Trainer, run_dir: Path, keep: int) -> Path:
    """Writes a checkpoint of `trainer` and removes all but the `keep` newest; returns its folder.

    Raises:
      TrainingError: a variable holds NaN or infinity; nothing is written, older checkpoints stay.
      CheckpointError: the folder cannot be written to.
    """
    step = int(trainer.step.numpy())
    arrays = {name: np.array(v.numpy()) for name, v in trainer.state.items()}
    bad = next((name for name, value in arrays.items() if not np.isfinite(value).all()), None)
    if bad:
        raise TrainingError(f"Step {step}: {bad} holds NaN or infinity; {last_good(run_dir)}")
    target = write_checkpoint(arrays, trainer.best_generator, run_dir)
    for old in list_checkpoints(run_dir)[:-keep]:
        shutil.rmtree(old)
    return target


def write_checkpoint(arrays: dict[str, np.ndarray], generator: Generator, run_dir: Path) -> Path:
    """Writes the checkpoint of a trainer's state and the generator to export; returns its folder.

    Args:
      arrays: of all variables, by the names of `Trainer.state`; arrays["step"] names the folder.

    Raises:
      CheckpointError: the folder cannot be written to.
    """
    target = run_dir / "checkpoints" / f"step-{int(arrays['step']):08d}"
    temporary = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        np.savez(temporary / _STATE_NAME, **arrays)  # type: ignore[arg-type]  # names are never savez's own
        _claim_room(temporary / WEIGHTS_NAME, generator)
        generator.save_weights(temporary / WEIGHTS_NAME)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)  # on a full disk its room is needed
        raise CheckpointError(f"Cannot write the checkpoint {target}: {_reason(error)}.") from None
    return target


def _claim_room(path: Path, generator: Generator) -> None:
    """Fills the file that the weights will be written over: on a full disk h5py may end the whole process."""
    size = sum(4 * math.prod(variable.shape) for variable in generator.variables)
    with path.open("wb") as file:
        file.write(bytes(size + _HDF5_BYTES * (8 + len(generator.variables))))


def _reason(error: OSError) -> str:
    # What h5py calls strerror are several lines.
    return os.strerror(error.errno) if error.errno else str(error)


def restore_newest(trainer: Trainer, run_dir: Path) -> tuple[int, list[str]]:
    """Loads the newest readable checkpoint into `trainer`; returns its step and a sentence per damaged one passed over.

    Raises:
      CheckpointError: there is none, none is readable, or it belongs to other networks.
    """
    problems: list[str] = []
    for folder in reversed(list_checkpoints(run_dir)):
        try:
            arrays = _read(folder)
        except _DAMAGE as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.ENOENT):  # no right to, a disk that fails
                raise CheckpointError(f"{folder} cannot be read: {_reason(error)}.") from None
            _put_aside(folder)
            problems.append(f"{folder} is damaged ({error}): renamed to {folder.name}.damaged and passed over.")
            continue
        _assign(trainer, arrays, folder)
        return int(trainer.step.numpy()), problems
    raise CheckpointError(
        f"--run_dir={run_dir} holds no readable checkpoint to resume from. {' '.join(problems)}".strip()
    )


def _put_aside(folder: Path) -> None:
    """Renames a damaged checkpoint, or it would count as newer than all that follow from here."""
    target = folder.with_name(f"{folder.name}.damaged")
    try:
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    except OSError as error:
        raise CheckpointError(f"{folder} is damaged and cannot be renamed: {_reason(error)}.") from None


def load_start(trainer: Trainer, source: Path) -> None:
    """Loads the generator of another run, of the same network, into `trainer`, its average included.

    Args:
      trainer: before its first step.
      source: a run folder, of which the newest checkpoint counts, or a file of weights.

    Raises:
      CheckpointError: there are no weights, or they are of another network.
    """
    found = list_checkpoints(source)
    path = found[-1] / WEIGHTS_NAME if found else source
    if not path.is_file():
        raise CheckpointError(f"--start_from={source} is neither a run folder with a checkpoint nor a file of weights.")
    for generator in filter(None, (trainer.generator, trainer.averaged)):
        load_weights(generator, path, f"--start_from={source} does not fit the generator")


def read_newest(run_dir: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Returns the newest checkpoint's folder and its arrays, by the names of `Trainer.state`.

    Raises:
      CheckpointError: there is none, or it is damaged.
    """
    found = list_checkpoints(run_dir)
    if not found:
        raise CheckpointError(f"--run_dir={run_dir} holds no checkpoint.")
    try:
        return found[-1], _read(found[-1])
    except _DAMAGE as error:
        raise CheckpointError(f"{found[-1]} is damaged ({error}).") from None


def last_good(run_dir: Path) -> str:
    """Returns a clause that names the newest checkpoint, for messages about a run that stopped."""
    found = list_checkpoints(run_dir)
    return f"the last good checkpoint is {found[-1]}." if found else "there is no earlier checkpoint."


def _read(folder: Path) -> dict[str, np.ndarray]:
    # Opened here, because np.load leaves its file open when the archive is damaged.
    with (folder / _STATE_NAME).open("rb") as file, np.load(file) as data:
        return {name: data[name] for name in data.files}


def _assign(trainer: Trainer, arrays: dict[str, np.ndarray], folder: Path) -> None:
    variables = trainer.state
    shapes = {name: tuple(v.shape) for name, v in variables.items()}
    if shapes != {name: value.shape for name, value in arrays.items()}:
        raise CheckpointError(f"{folder} belongs to other networks or optimizers than this recipe's.")
    for name, variable in variables.items():
        variable.assign(arrays[name])
