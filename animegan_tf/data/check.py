"""Looks at style pictures and photos before a training: what can be used, what is left out, what would help."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from animegan_tf import images
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import DataError, ImageError

KINDS = {"style_dir": "style pictures", "photo_dir": "photos"}
MINIMUM = {"style_dir": 8, "photo_dir": 20}
ADVISED = {"style_dir": 30, "photo_dir": 500}
HASH_DISTANCE = 5
"""Two pictures are alike when at most so many of the 64 bits of their difference hashes differ."""

_COLOR_DISTANCE = 20.0
_GRAY_CHROMA = 4.0
_NAMED = 5
_HELP = {
    "style_dir": "more pictures of the same hand, or parts cut out of large ones, give the style more motifs",
    "photo_dir": "more photos of what will be stylized (people, streets, rooms, food, animals, skies) keep it intact",
}


@dataclass(frozen=True)
class Seen:
    """What was seen of one readable picture.

    size: (width, height) in pixels; of a picture larger than was asked for, only that it is larger is known.
    digest: SHA-256 of the file. hash: see `difference_hash`. colors: [8, 8, 3] uint8 RGB, the picture in 64 cells.
    """

    size: tuple[int, int]
    digest: str
    hash: int
    colors: np.ndarray = field(repr=False, compare=False)

    @property
    def short_side(self) -> int:
        """The shorter of width and height, in pixels."""
        return min(self.size)

    @property
    def is_gray(self) -> bool:
        """Whether it has hardly any colour."""
        cells = self.colors.astype(int)
        return float((cells.max(-1) - cells.min(-1)).mean()) < _GRAY_CHROMA


@dataclass(frozen=True)
class FolderCheck:
    """What became of the pictures of one folder.

    flag: the flag that named it, a key of KINDS. total: pictures found. usable: those to train on.
    Left out: `unreadable`, file -> why; `tiny`, too small to be cropped; `copies`, file -> the same bytes under
    another name; `shared`, photos that are style pictures too, file -> style picture.
    Kept: `small`, enlarged in training; `alike`, groups of pictures that are nearly the same; `gray`, without colour.
    """

    flag: str
    folder: Path
    total: int
    usable: dict[Path, Seen]
    unreadable: dict[Path, str]
    tiny: dict[Path, Seen]
    copies: dict[Path, Path]
    small: dict[Path, Seen]
    alike: list[list[Path]]
    shared: dict[Path, Path] = field(default_factory=dict)

    @property
    def gray(self) -> list[Path]:
        """The usable pictures without colour."""
        return [path for path, seen in self.usable.items() if seen.is_gray]

    def median_side(self) -> float:
        """Returns the median short side of the usable pictures in pixels, see `Seen.size`."""
        return float(np.median([seen.short_side for seen in self.usable.values()]))


@dataclass(frozen=True)
class PictureCheck:
    """Both folders of a training; `report` in words."""

    style: FolderCheck
    photo: FolderCheck

    def report(self) -> str:
        """Returns a text of several lines: counts, files left out, files to look at, and what would help."""
        return "\n".join(line for check in (self.style, self.photo) for line in _lines(check)) + "\n"

    def require_enough(self) -> None:
        """Raises DataError where a folder has too few usable pictures to train on at all."""
        for check in (self.style, self.photo):
            needed, advised = MINIMUM[check.flag], ADVISED[check.flag]
            if len(check.usable) < needed:
                raise DataError(
                    f"--{check.flag}={check.folder} has {len(check.usable)} usable {KINDS[check.flag]}: "
                    f"at least {needed} are needed, {advised} or more are advised."
                )


def check_pictures(
    photo_dir: Path,
    style_dir: Path,
    *,
    smallest_side: int,
    good_side: int,
    measured_side: int = 0,
    progress: bool = False,
) -> PictureCheck:
    """Returns what can be used of two folders.

    Args:
      photo_dir, style_dir: folders of pictures; sub-folders count.
      smallest_side: pictures whose short side is below this, in px, are left out.
      good_side: pictures below this are named: training enlarges them.
      measured_side: short sides are told exactly up to this, in px; larger pictures take longer to look at.
      progress: show a bar on stderr.

    Raises:
      DataError: a folder is missing or holds no picture.
    """
    side = max(good_side, measured_side)
    style, photo = (
        _check_folder(folder, flag, smallest_side, good_side, side, progress)
        for folder, flag in ((style_dir, "style_dir"), (photo_dir, "photo_dir"))
    )
    return PictureCheck(style, _without_style(photo, style))


def difference_hash(pixels: np.ndarray) -> int:
    """Returns 64 bits: whether each cell of an 8 x 8 grid is darker than its right neighbour.

    Source: the 'dHash' of Krawetz, "Kind of like that" (2013). It stays under scaling, light compression and
    changes of brightness; flat pictures have arbitrary bits, so `alike_groups` looks at the colours, too.

    Args:
      pixels: [H, W, 3] uint8 RGB.
    """
    cells = np.asarray(Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX), int)
    return int.from_bytes(np.packbits(cells[:, :-1] < cells[:, 1:]).tobytes())


def alike_groups(seen: dict[Path, Seen]) -> list[list[Path]]:
    """Returns groups of two or more pictures that are nearly the same, each sorted."""
    paths = sorted(seen)
    hashes = np.array([seen[path].hash for path in paths], np.uint64)
    group_of = {path: {path} for path in paths}
    for row, path in enumerate(paths):
        near = np.bitwise_count(hashes[row + 1 :] ^ hashes[row]) <= HASH_DISTANCE
        for other in (paths[row + 1 + column] for column in np.flatnonzero(near)):
            if _same_colors(seen[path], seen[other]) and group_of[path] is not group_of[other]:
                merged = group_of[path] | group_of[other]
                group_of.update(dict.fromkeys(merged, merged))
    return sorted(
        sorted(group) for group in {id(group): group for group in group_of.values()}.values() if len(group) > 1
    )


def _same_colors(first: Seen, second: Seen) -> bool:
    return float(np.abs(first.colors.astype(int) - second.colors).mean()) <= _COLOR_DISTANCE


def _check_folder(folder: Path, flag: str, smallest: int, good: int, side: int, progress: bool) -> FolderCheck:
    files = list_pictures(folder, flag)
    unreadable: dict[Path, str] = {}
    seen: dict[Path, Seen] = {}
    for path, found in zip(files, _look_at_all(files, side, KINDS[flag], progress), strict=True):
        if isinstance(found, Seen):
            seen[path] = found
        else:
            unreadable[path] = found
    tiny = {path: found for path, found in seen.items() if found.short_side < smallest}
    copies: dict[Path, Path] = {}
    first: dict[str, Path] = {}
    for path, found in seen.items():
        if first.setdefault(found.digest, path) != path:
            copies[path] = first[found.digest]
    usable = {path: found for path, found in seen.items() if path not in tiny and path not in copies}
    small = {path: found for path, found in usable.items() if found.short_side < good}
    return FolderCheck(flag, folder, len(files), usable, unreadable, tiny, copies, small, alike_groups(usable))


def _without_style(photo: FolderCheck, style: FolderCheck) -> FolderCheck:
    """Returns `photo` without what is a style picture, too: it would teach that a photo stays as it is."""
    owners = {seen.digest: path for path, seen in style.usable.items()}
    shared = {path: owners[seen.digest] for path, seen in photo.usable.items() if seen.digest in owners}
    keep = {path: seen for path, seen in photo.usable.items() if path not in shared}
    small = {path: seen for path, seen in photo.small.items() if path in keep}
    groups = [[path for path in group if path in keep] for group in photo.alike]
    return replace(photo, usable=keep, small=small, alike=[g for g in groups if len(g) > 1], shared=shared)


def _look_at_all(files: list[Path], side: int, label: str, progress: bool) -> Iterable[Seen | str]:
    from tqdm import tqdm

    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="check") as pool:
        looked = pool.map(lambda path: _look(path, side), files)
        yield from tqdm(
            looked,
            f"looking at {label}",
            len(files),
            unit="picture",
            leave=False,
            disable=not progress,
            file=sys.stderr,
        )


def _look(path: Path, side: int) -> Seen | str:
    try:
        pixels = images.read_thumbnail(path, side)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (ImageError, OSError) as error:
        return str(error)
    cells = np.asarray(Image.fromarray(pixels).resize((8, 8), Image.Resampling.BOX))
    return Seen((pixels.shape[1], pixels.shape[0]), digest, difference_hash(pixels), cells)


def _lines(check: FolderCheck) -> list[str]:
    kind, usable, advised = KINDS[check.flag], len(check.usable), ADVISED[check.flag]
    lines = [f"{kind}: {usable} of {check.total} can be used ({check.folder})"]
    lines += [f"  left out: {reason}" for reason in check.unreadable.values()]
    lines += [f"  left out, too small: {_named(path, check)} ({_size(seen)} px)" for path, seen in check.tiny.items()]
    for told, pairs in (("left out, a copy", check.copies), ("left out, a style picture too", check.shared)):
        lines += [f"  {told}: {_named(path, check)} = {other.name}" for path, other in pairs.items()]
    lines += _some("small, so enlarged and soft", [f"{_named(p, check)} ({_size(s)})" for p, s in check.small.items()])
    lines += _some("nearly the same", [" ~ ".join(_named(p, check) for p in group[:3]) for group in check.alike])
    if check.flag == "style_dir":
        lines += _some("without colour, and their grey counts in the palette", [_named(p, check) for p in check.gray])
    if usable < advised:
        lines.append(f"  {advised} or more are advised: {_HELP[check.flag]}.")
    return lines


def _some(told: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"  {told}: {', '.join(names[:_NAMED])}{more}"]


def _named(path: Path, check: FolderCheck) -> str:
    return str(path.relative_to(check.folder))


def _size(seen: Seen) -> str:
    return f"{seen.size[0]}x{seen.size[1]}"
