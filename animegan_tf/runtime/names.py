"""Names of results: what a stylized picture is called, and which pictures have such a name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from animegan_tf.images import IMAGE_SUFFIXES


def styled_name(name: str, style: str) -> str:
    """Returns the default file name of a stylized picture: `<stem>_<style><suffix>`.

    The suffix becomes '.png' for GIF, whose 256 colours would spoil the result, and where it is not one we write.
    """
    stem, suffix = os.path.splitext(name)
    keeps = suffix.lower() in IMAGE_SUFFIXES and suffix.lower() != ".gif"
    return f"{stem}_{style}{suffix if keeps else '.png'}"


def results_among(pictures: Sequence[Path], styles: Iterable[str]) -> set[Path]:
    """Returns those of `pictures` that are called like another one of them in one of `styles`.

    Wherever they lie: a folder that is stylized again may hold the folder that the first results were written to.
    """
    stems, endings = {path.stem for path in pictures}, [f"_{style}" for style in styles]

    def is_result(stem: str) -> bool:
        return any(stem.endswith(end) and stem.removesuffix(end) in stems for end in endings)

    return {path for path in pictures if is_result(path.stem)}
