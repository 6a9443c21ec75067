"""Every error a user can meet.

AnimeganError               anything below; its message is one sentence a user can act on
|-- UsageError              a flag, name or argument is wrong (exit code 2)
|   |-- ConfigError         a training flag or recipe
|   |-- UnknownNameError    a style, recipe, generator, loss ... that does not exist
|   |-- MissingExtraError   an optional dependency is not installed
|   `-- DataError           a folder named by a flag is missing, empty or unusable
|-- ImageError              one picture cannot be read, is too large or cannot be written
|-- CheckpointError         a run folder or checkpoint cannot be resumed or read
|-- TrainingError           training stopped: a loss became NaN or infinite
|-- ExportError             an exported file could not be made or differs from the network
|-- StyleError              a style folder is incomplete, changed or not runnable
`-- ServingError            a model server does not answer, or not as it should
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class AnimeganError(Exception):
    """Base of all errors shown to users. `exit_code` is what a command line returns for it."""

    exit_code = 1


class UsageError(AnimeganError):
    """The request itself is wrong; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """A training flag or recipe holds a value that cannot work."""


class UnknownNameError(UsageError):
    """A name is not among the known ones; the message lists them and the nearest."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        super().__init__(f"Unknown {kind} {name!r}: known are {', '.join(known) or 'none'}.{hint}")


class MissingExtraError(UsageError):
    """A dependency is not installed; the message holds the exact pip line. No `extra`: that of the package alone."""

    def __init__(self, package: str, extra: str | None, purpose: str):
        requirement = f"'animegan-tf[{extra}]'" if extra else package
        super().__init__(f"{purpose} needs {package}: pip install {requirement}")


class ImageError(AnimeganError):
    """One picture cannot be read, is too large, or cannot be written."""


class DataError(UsageError):
    """A folder named by a flag is missing, empty or holds nothing usable."""


class CheckpointError(AnimeganError):
    """A run folder or checkpoint cannot be resumed or read."""


class TrainingError(AnimeganError):
    """Training stopped because a loss is no longer a finite number."""


class ExportError(AnimeganError):
    """An exported file could not be made, or does not compute what the network computes."""


class StyleError(AnimeganError):
    """A style folder is incomplete, was changed, or cannot be run here."""


class ServingError(AnimeganError):
    """A model server cannot be reached, is too slow, or refuses what it was asked."""


@contextlib.contextmanager
def needs_extra(module: str, package: str, extra: str | None, purpose: str) -> Iterator[None]:
    """Context around the import of `module`: MissingExtraError when it, and not something it needs, is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module:
            raise
        raise MissingExtraError(package, extra, purpose) from None
