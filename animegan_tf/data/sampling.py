"""Which pictures a run sees, how often in an epoch, and of which class each style picture is."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animegan_tf.errors import ConfigError, DataError, UnknownNameError

SAMPLINGS = ("uniform", "balanced")
_COLUMNS = ("picture", "weight")
_NOT_IN_NAMES = set(",:=\"'")  # they part names from each other and from weights, in flags and recipes


@dataclass(frozen=True)
class Frequencies:
    """How often each picture comes in an epoch.

    expected: [N] float64 >= 0 with the sum N: the mean number of times.
    groups: [N] int; the pictures of one number together, too, come floor or ceil of their expected number of times.
    """

    expected: np.ndarray
    groups: np.ndarray

    def order(self, rng: np.random.Generator) -> np.ndarray:
        """Returns an epoch: [N] indices of pictures, each floor or ceil of its expected number of times, shuffled.

        Systematic resampling: the expected counts laid end to end are read at N equal distances from one random
        start. They are laid in a random order within their groups, so that every set of companions can occur.
        """
        number = len(self.expected)
        laid = rng.permutation(number)
        laid = laid[np.argsort(self.groups[laid], kind="stable")]
        ends = np.floor(np.cumsum(self.expected[laid]) + rng.random()).clip(max=number)
        ends[-1] = number  # whatever the sum's last bits say
        counts = np.diff(ends, prepend=0).astype(int)
        return rng.permutation(np.repeat(laid, counts))


@dataclass(frozen=True)
class Selection:
    """The style pictures of a run.

    files: those that are used. classes: their classes in the order of the one-hot labels; () without classes.
    frequencies: None for each picture once an epoch.
    """

    files: list[Path]
    classes: tuple[str, ...]
    frequencies: Frequencies | None


def select_styles(
    style_dir: Path,
    files: list[Path],
    *,
    classes: tuple[str, ...] = (),
    labels: bool = False,
    sampling: str = "uniform",
    weights_file: Path | None = None,
) -> Selection:
    """Returns which of `files` are used and how often.

    Weights and balance multiply: under 'balanced' every class has an equal share of the epoch, which its pictures
    divide by their weights.

    Args:
      style_dir: folder of style pictures.
      files: the pictures below it.
      classes: names of its sub-folders; what lies elsewhere is left out. (): every sub-folder, if classes are needed.
      labels: classes are needed for labels.
      sampling: 'uniform', or 'balanced': every class equally often.
      weights_file: see `read_weights`; None: each picture weighs 1.

    Raises:
      DataError: a class has no picture, or the file of weights is wrong or leaves nothing.
      ConfigError: a class is named twice. UnknownNameError: no such sampling.
    """
    if sampling not in SAMPLINGS:
        raise UnknownNameError("--style_sampling", sampling, SAMPLINGS)
    balanced = sampling == "balanced"
    if classes or labels or balanced:
        classes = _check_classes(style_dir, classes, classes_of(style_dir, files))
    weights = read_weights(weights_file, style_dir, files) if weights_file else {}
    used = [path for path in files if not classes or class_of(style_dir, path) in classes]
    used = [path for path in used if weights.get(path, 1.0) > 0]
    if not used:
        raise DataError(f"{weights_file}: every picture has the weight 0.")
    numbers = np.array([classes.index(class_of(style_dir, path)) if classes else 0 for path in used])
    for number, name in enumerate(classes):
        if number not in numbers:
            raise DataError(f"{weights_file}: every picture of the class {name!r} has the weight 0.")
    if not balanced and not weights_file:
        return Selection(used, classes, None)
    used_weights = np.array([weights.get(path, 1.0) for path in used])
    return Selection(used, classes, _frequencies(used_weights, numbers if balanced else np.zeros_like(numbers)))


def photo_frequencies(photo_dir: Path, files: list[Path], sampling: str) -> Frequencies | None:
    """Returns how often each photo comes in an epoch; None for each once.

    'balanced': every first-level sub-folder of `photo_dir` equally often, and what lies in none as one more. A style
    is met by the mean of what it was trained on: a few pictures of people among many landscapes hardly count.

    Raises:
      UnknownNameError: no such sampling.
    """
    if sampling not in SAMPLINGS:
        raise UnknownNameError("--photo_sampling", sampling, SAMPLINGS)
    if sampling == "uniform":
        return None
    _, groups = np.unique([class_of(photo_dir, path) for path in files], return_inverse=True)
    return _frequencies(np.ones(len(files)), groups)


def class_of(style_dir: Path, path: Path) -> str:
    """Returns the class of a picture: its first-level sub-folder of `style_dir`, '' for one that lies in none."""
    parts = path.relative_to(style_dir).parts
    return parts[0] if len(parts) > 1 else ""


def classes_of(style_dir: Path, files: Iterable[Path]) -> tuple[str, ...]:
    """Returns the classes of `files`, which lie below `style_dir`: its first-level sub-folders, sorted."""
    return tuple(sorted({class_of(style_dir, path) for path in files} - {""}))


def one_hot(name: str, classes: tuple[str, ...]) -> np.ndarray:
    """Returns the label of a class: [len(classes)] float32, 1 at its place and 0 elsewhere."""
    return np.array([name == known for known in classes], np.float32)


def read_weights(weights_file: Path, style_dir: Path, files: Iterable[Path]) -> dict[Path, float]:
    """Returns the weights that a CSV file gives to pictures; one that it does not list weighs 1, 0 leaves one out.

    Args:
      weights_file: a header with the columns picture (its path in `style_dir`) and weight (>= 0), then the rows;
        further columns are ignored.
      style_dir: folder of style pictures.
      files: the pictures below it.

    Raises:
      DataError: the file cannot be read, lacks a column, names an unknown picture or one twice, or holds a bad number.
    """
    known, weights = set(files), dict[Path, float]()
    try:
        with open(weights_file, encoding="utf-8-sig", newline="") as file:  # spreadsheets begin with a mark
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"{weights_file}, line 1: no column {missing[0]!r}; needed are picture,weight.")
            for row in rows:
                where = f"{weights_file}, line {rows.line_num}"
                path = Path(style_dir) / (row["picture"] or "")
                if path not in known:
                    raise DataError(f"{where}: --style_dir={style_dir} has no picture {row['picture']!r}.")
                if path in weights:
                    raise DataError(f"{where}: {row['picture']!r} is listed twice.")
                weights[path] = _weight(row["weight"], where)
    except OSError as error:
        raise DataError(f"--style_weights={weights_file} cannot be read: {error.strerror or error}.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"--style_weights={weights_file} is not a CSV file in UTF-8 ({error}).") from None
    return weights


def _weight(text: str | None, where: str) -> float:
    try:
        weight = float(text or "")
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise DataError(f"{where}: the weight {text or ''!r} is not a number of at least 0.")
    return weight


def _check_classes(style_dir: Path, named: tuple[str, ...], existing: tuple[str, ...]) -> tuple[str, ...]:
    if not existing:
        raise DataError(f"--style_dir={style_dir} has no sub-folder with pictures: each one is a class.")
    if len(set(named)) < len(named):
        raise ConfigError(f"--classes={','.join(named)} names a class twice.")
    for name in named or existing:
        if name != name.strip() or set(name) & _NOT_IN_NAMES:
            raise DataError(
                f"--style_dir={style_dir}: the folder {name!r} cannot be a class: names have no comma, colon, equals "
                "sign or quote, and no blank at either end."
            )
    for name in named:
        if name not in existing:
            raise DataError(
                f"--style_dir={style_dir} has no sub-folder {name!r} with pictures, named by --classes; "
                f"there are {', '.join(existing)}."
            )
    return named or existing


def _frequencies(weights: np.ndarray, groups: np.ndarray) -> Frequencies:
    """Returns the frequencies by which the groups share an epoch equally, and their members by weight."""
    shares = weights / np.bincount(groups, weights)[groups] / len(np.unique(groups))
    return Frequencies(len(weights) * shares, groups)
