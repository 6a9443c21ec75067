"""The pictures of a training in its work folder: links to those that can be used, and what their licences say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from animegan_tf import images
from animegan_tf.data.check import PictureCheck
from animegan_tf.data.sampling import class_of
from animegan_tf.errors import DataError
from animegan_tf.evaluation.pictures import spread

_TERMS_NAMES = ("LICENSE.txt", "LICENSE", "LICENSE.md", "CREDITS.txt")
_QUOTED = 600


def link_pictures(check: PictureCheck, work: Path) -> None:
    """Fills work/pictures/style and work/pictures/photo with links to the usable pictures.

    Training takes folders, so this is how pictures are left out; where links cannot be made, copies are.

    Raises:
      DataError: the folder cannot be written to.
    """
    try:
        shutil.rmtree(work / "pictures", ignore_errors=True)
        for part in (check.style, check.photo):
            folder = work / "pictures" / part.flag.removesuffix("_dir")
            for path in part.usable:
                _link(path, folder / path.relative_to(part.folder))
    except OSError as error:
        raise DataError(f"{work} cannot be written to: {error.strerror or error}.") from None


def quote_terms(folder: Path, label: str) -> str:
    """Returns 'label: first paragraph' of every licence text in `folder` and one level below; '' without one."""
    found = []
    for place in [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]:
        path = next((place / name for name in _TERMS_NAMES if (place / name).is_file()), None)
        if path:
            found.append(f"{label}: {_first_paragraph(path)}")
    return " ".join(found)


def link_judged(photo_dir: Path, sampling: str, count: int, folder: Path) -> None:
    """Fills `folder` with links to up to `count` photos, spread over them as training meets them.

    sampling: a run's --photo_sampling; 'balanced' takes as many from each first-level sub-folder of `photo_dir`.
    """
    files = images.find_images(photo_dir)
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(class_of(photo_dir, path) if sampling == "balanced" else "", []).append(path)
    shutil.rmtree(folder, ignore_errors=True)
    for paths in groups.values():
        for path in spread(paths, max(1, count // len(groups))):
            _link(path, folder / path.relative_to(photo_dir))


def _link(source: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(os.path.realpath(source))
    except OSError:  # Windows without the right to, file systems without links
        shutil.copyfile(source, link)


def _first_paragraph(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip().split("\n\n")[0]
    text = " ".join(text.split())
    if len(text) > _QUOTED:
        text = text[:_QUOTED].rsplit(" ", 1)[0] + " ..."
    return text if text.endswith("...") else f"{text.rstrip(':;,. ')}."
