"""The options that choose how a style looks, for every command that stylizes. Loads neither NumPy nor Pillow."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from animegan_tf.errors import ImageError, UsageError

if TYPE_CHECKING:
    from animegan_tf.runtime.codes import StyleCode
    from animegan_tf.runtime.stylizer import Stylizer


@dataclass(frozen=True)
class LookOptions:
    """What the options of `look_options` were given."""

    label: str | None = None
    style_image: tuple[str, ...] = ()
    style_code: tuple[str, ...] = ()
    save_code: Path | None = None
    variation: int | None = None


def look_options(command: Callable) -> Callable:
    """Adds the options that choose how a style looks; they arrive as look: LookOptions."""

    @functools.wraps(command)
    def gathered(*, label, style_image, style_code, save_code, variation, **others):
        look = LookOptions(label, style_image, style_code, save_code, variation)
        return command(look=look, **others)

    options = (
        click.option("--label", metavar="NAME", help="Which of a style's styles; a blend: monet:0.7,hokusai:0.3."),
        click.option(
            "--style-image",
            metavar="PICTURE[:WEIGHT]",
            multiple=True,
            help="Picture to take the style from; several are blended.",
        ),
        click.option(
            "--style-code",
            metavar="FILE[:WEIGHT]",
            multiple=True,
            help="The same from a file that --save-code wrote; blends with pictures.",
        ),
        click.option(
            "--save-code",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Write the code of the style pictures, to use again.",
        ),
        click.option("--variation", metavar="SEED", type=click.IntRange(0), help="Another way to paint the same."),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), gathered)


def choose_look(stylizer: Stylizer, options: LookOptions, overwrite: bool) -> tuple[str, dict[str, Any]]:
    """Returns the look's name and the arguments label, code, variation for `stylizer`; writes --save-code.

    Raises:
      UsageError: an option is wrong, missing, or not one for this style.
      ImageError: a style picture cannot be read, or --save-code cannot be written.
      StyleError: a style code is damaged, or the style encoder failed.
    """
    from animegan_tf.runtime.codes import write_code
    from animegan_tf.runtime.looks import parse_label

    if options.save_code and not (options.style_image or options.style_code):
        raise UsageError("--save-code needs a style picture (--style-image) or another code (--style-code).")
    if options.save_code and os.path.lexists(options.save_code) and not overwrite:
        raise ImageError(f"{options.save_code} exists already; --overwrite replaces it.")
    label = None if options.label is None else parse_label(options.label)
    code = _read_codes(stylizer, options)
    look = stylizer.look(label, code, options.variation)  # what does not fit is refused before anything is written
    if options.save_code and code:
        write_code(options.save_code, code)
    return look.name, {"label": label, "code": code, "variation": options.variation}


def _read_codes(stylizer: Stylizer, options: LookOptions) -> StyleCode | None:
    from animegan_tf.runtime.codes import blend_codes, read_code

    readers = ((stylizer.encode, options.style_image), (read_code, options.style_code))
    codes = []
    for read, texts in readers:
        for path, weight in map(_split_path, texts):
            codes.append((read(path), weight))
    return blend_codes(codes) if codes else None


def _split_path(text: str) -> tuple[str, float]:
    from animegan_tf.runtime.looks import split_weight

    # A name that exists is taken as it is, as the photos are.
    path, weight = (text, 1.0) if os.path.lexists(text) else split_weight(text)
    if not os.path.lexists(path):
        raise UsageError(f"{path}: no such file.")
    return path, weight
