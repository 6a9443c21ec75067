"""What a work folder remembers, so that an interrupted command goes on: its arguments, plan, time and finished stages.

OUT.work/state.json    check.txt    pictures/    run/ (see training/run_folder.py)
OUT.work/evaluation.json    contact_sheet.jpg    verdict.txt
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animegan_tf import images
from animegan_tf.errors import ConfigError

STATE_NAME = "state.json"
_LOCK_NAME = "lock"
_VERSION = 1


@dataclass
class State:
    """The content of state.json.

    said: the arguments that decide the training. plan: values of the recipe that were planned, by flag name.
    speed: as measured, start and steps of plan.Speed. reserve: seconds to leave for what follows training.
    spent: seconds of wall time used so far. done: finished stages. exporting: whether the export was begun, to a place
    where nothing was.
    """

    said: dict[str, Any]
    plan: dict[str, Any] = field(default_factory=dict)
    speed: list[float] = field(default_factory=list)
    reserve: float = 0.0
    spent: float = 0.0
    done: list[str] = field(default_factory=list)
    exporting: bool = False
    version: int = _VERSION


class Clock:
    """The wall time of one command over all its starts, in seconds.

    budget: what may be used. spent: what earlier starts used.
    """

    def __init__(self, budget: float, spent: float = 0.0):
        self.budget, self._before, self._since = budget, spent, time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds used so far."""
        return self._before + time.monotonic() - self._since

    @property
    def left(self) -> float:
        """Seconds still to use; negative when it is over."""
        return self.budget - self.spent


def read_state(work: Path) -> State | None:
    """Returns the state of a work folder; None where there is none.

    Raises:
      ConfigError: it cannot be read.
    """
    path = work / STATE_NAME
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        state = State(**values)
        if state.version != _VERSION:
            raise ValueError(f"version {state.version}")
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): remove {work} to start anew.") from None
    return state


def write_state(work: Path, state: State) -> None:
    """Writes `state` into the work folder, atomically."""
    text = json.dumps(dataclasses.asdict(state), indent=2, ensure_ascii=False)
    images.write_atomic(work / STATE_NAME, f"{text}\n".encode())


def check_same(state: State, said: dict[str, Any], work: Path) -> None:
    """Raises ConfigError unless the command is the one that the work folder was started with."""
    names = [name for name, value in said.items() if state.said.get(name) != value]
    if names:
        before = " ".join(f"--{name}={state.said.get(name)}" for name in names)
        raise ConfigError(f"{work} was started with {before}: go on with that, take another --out, or remove it.")


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Context in which no other process works in the folder.

    Raises:
      ConfigError: one does, or the folder cannot be written to.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        file = (work / _LOCK_NAME).open("wb")
    except OSError as error:
        raise ConfigError(f"The work folder {work} cannot be written to: {error.strerror}.") from None
    with file:
        _lock(file, work)
        yield


def _lock(file, work: Path) -> None:
    if os.name != "posix":
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"Another process works in {work}.") from None


def in_words(seconds: float) -> str:
    """Returns a duration as people say it: '45 s', '12 min', '3 h 05 min'."""
    seconds = max(0.0, seconds)
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
