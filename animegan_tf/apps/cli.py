"""The command line `animegan`.

Results go to stdout, one path per line; errors to stderr as `animegan: <sentence>`. Exit codes: 0 all done, 1 some
picture failed, 2 the request was wrong, 130 interrupted. Imports are inside the functions where they cost time:
help and version load neither NumPy nor Pillow, and nothing loads TensorFlow unless `--backend saved_model` does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from animegan_tf import __version__
from animegan_tf.apps.look import LookOptions, choose_look, look_options
from animegan_tf.errors import AnimeganError, ImageError, UsageError

if TYPE_CHECKING:
    from animegan_tf.manifest import Manifest, ModelFile

BACKEND_NAMES = ("tflite", "onnx", "saved_model", "auto")
PRECISION_NAMES = ("float32", "float16", "dynamic_int8", "int8")
"""As `runtime.backends.BACKENDS` and `manifest.PRECISIONS`; repeated to start fast (a test holds them equal)."""

# Megapixels that no picture has; the product of a larger number and a million may be infinite.
_ALL_PICTURES = 1e9


class TileSide(click.ParamType):
    """'auto', 'off', or a whole number of pixels."""

    name = "tile"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the value as it is, or as a whole number."""
        if value in ("auto", "off") or isinstance(value, int):
            return value
        if not value.isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is not auto, off or a whole number of pixels.", param, ctx)
        return int(value)


class FiniteRange(click.FloatRange):
    """A number within bounds; 'nan' is within all of them for click, and 'inf' where one is open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the value as a float."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class AnimeganGroup(click.Group):
    """A group of commands; the one place where errors and Ctrl-C become one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; see the class."""
        try:
            return super().invoke(ctx)
        except AnimeganError as error:
            _complain(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _complain("interrupted.")
            ctx.exit(130)


def style_options(command: Callable) -> Callable:
    """Adds the options every stylizing command shares; they arrive as style, backend, precision, ..."""
    options = (
        click.option("--style", metavar="NAME|DIR", default="hokusai", show_default=True, help="Style, or its folder."),
        click.option(
            "--backend",
            type=click.Choice(BACKEND_NAMES),
            default="tflite",
            show_default=True,
            help="Runs the model; auto times those installed once, and remembers the fastest.",
        ),
        click.option("--threads", metavar="N", type=click.IntRange(1), help="Of the CPU.  [default: all]"),
        click.option(
            "--precision",
            type=click.Choice(PRECISION_NAMES),
            help="Of the model file; int8 (tflite) is the fastest.  [default: float32 where there is a choice]",
        ),
        click.option(
            "--strength",
            metavar="0..1",
            type=FiniteRange(0, 1),
            default=1.0,
            show_default=True,
            help="0 is the photo, 1 the style.",
        ),
        click.option("--max-side", metavar="N", type=click.IntRange(1), help="Shrink the long side to N pixels first."),
    )
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


@click.group(cls=AnimeganGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="animegan")
def cli() -> None:
    """Turn photos into anime and illustration."""


@cli.command(short_help="Stylize pictures and folders of pictures.")
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO|FOLDER|GLOB...")
@click.option(
    "-o", "--output", metavar="OUT", type=click.Path(path_type=Path), help="File (for one picture) or folder to write."
)
@style_options
@look_options
@click.option(
    "--tile",
    metavar="auto|N|off",
    type=TileSide(),
    default="auto",
    show_default=True,
    help="Stylize in tiles of N pixels a side, to save memory; auto: from 2 megapixels on.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist already.")
@click.option(
    "--max-pixels",
    metavar="MEGAPIXELS",
    type=FiniteRange(0, min_open=True),
    default=100,
    show_default=True,
    help="Refuse larger pictures; beyond 100 they are read and written in strips.",
)
def image(
    photos: tuple[str, ...],
    output: Path | None,
    style: str,
    backend: str,
    precision: str | None,
    threads: int | None,
    strength: float,
    max_side: int | None,
    tile: Any,
    overwrite: bool,
    max_pixels: float,
    look: LookOptions,
) -> None:
    """Stylize pictures (jpg, png, webp, gif, tif) and folders of pictures.

    Each result is written as <name>_<style> beside its picture, or below OUT with the folders of the input kept.
    The path of every file written is printed. What a style has to choose from: animegan styles.
    """
    from animegan_tf.runtime.stylizer import Stylizer

    warnings.filterwarnings("ignore", module="PIL")  # damaged metadata: the picture comes out well all the same
    report = Report()
    found = list(_collect(photos, report))
    if not found:
        raise click.exceptions.Exit(UsageError.exit_code)
    with report.notes():
        stylizer = Stylizer.load(style, backend, precision, threads)
        name, chosen = choose_look(stylizer, look, overwrite)
        jobs = _plan(found, output, name, one_file=len(photos) == 1 and not Path(photos[0]).is_dir())
        _stylize_all(
            jobs,
            functools.partial(
                stylizer,
                **chosen,
                strength=strength,
                max_side=max_side,
                tile=None if tile == "off" else tile,
                overwrite=overwrite,
                max_pixels=round(min(max_pixels, _ALL_PICTURES) * 1e6),
                progress=report.tiles,
            ),
            report,
        )
    raise click.exceptions.Exit(AnimeganError.exit_code if report.failures else 0)


@cli.command(short_help="List the styles that are installed.")
@click.argument("folders", nargs=-1, metavar="[NAME|FOLDER]...")
@click.option("--json", "as_json", is_flag=True, help="Print everything the manifests say, as JSON.")
def styles(folders: tuple[str, ...], as_json: bool) -> None:
    """List the styles that are installed, or the named ones and style folders.

    What a style has to choose from stands behind its description.
    """
    from animegan_tf.runtime.stylizer import list_styles, read_style

    manifests = [read_style(name) for name in folders or list_styles()]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(manifest) for manifest in manifests], indent=2, ensure_ascii=False))
    elif manifests:
        _print_table(("STYLE", "SYSTEM", "LICENCE", "FILES", "DESCRIPTION"), map(_style_row, manifests))
    else:
        click.echo("No styles are installed; --style takes a folder that export wrote.")


class Found(NamedTuple):
    """A picture to stylize, the folders between the input that named it and the picture, and whether one was named."""

    photo: Path
    folders: Path
    in_folder: bool


class Job(NamedTuple):
    """A picture to stylize and the file to write."""

    photo: Path
    target: Path


class Report:
    """What a batch says: paths on stdout, errors and notes on stderr, and progress bars that give way to both."""

    def __init__(self) -> None:
        self.failures = 0
        self._bar: Any = None
        self._tile_bar: Any = None

    def wrote(self, path: Path) -> None:
        """Prints the path of a file that was written."""
        with self._bar_cleared():
            click.echo(os.fsencode(path))  # as bytes: a name that is not UTF-8 must reach the next program unchanged

    def failed(self, sentence: object) -> None:
        """Prints an error and counts it."""
        self.failures += 1
        if self._tile_bar is not None:
            self._tile_bar.close()
        with self._bar_cleared():
            _complain(sentence)

    def progress(self, jobs: list[Job]) -> Iterator[Job]:
        """Returns `jobs` one by one, with a bar where there is somebody to look at it and more than one job."""
        if len(jobs) < 2 or not sys.stderr.isatty():
            yield from jobs
            return
        from tqdm import tqdm

        with tqdm(total=len(jobs), unit=" pictures", dynamic_ncols=True, leave=False) as self._bar:
            for job in jobs:
                yield job
                self._bar.update()
        self._bar = None

    def tiles(self, done: int, total: int) -> None:
        """Shows how many tiles of a picture are done, when they take over a second."""
        if total < 2 or not sys.stderr.isatty():
            return
        if done == 1:
            from tqdm import tqdm

            self._tile_bar = tqdm(total=total, unit=" tiles", dynamic_ncols=True, leave=False, delay=1)
        self._tile_bar.update()
        if done == total:
            self._tile_bar.close()

    @contextlib.contextmanager
    def notes(self) -> Iterator[None]:
        """Context in which what the runtime logs is printed."""
        import logging

        handler, logger = logging.Handler(), logging.getLogger("animegan_tf")
        handler.emit = lambda record: self.said(record.getMessage())  # type: ignore[method-assign]
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    def said(self, sentence: str) -> None:
        """Prints a note."""
        with self._bar_cleared():
            _complain(sentence)

    @contextlib.contextmanager
    def _bar_cleared(self) -> Iterator[None]:
        if self._bar is None:
            yield
            return
        self._bar.clear()
        yield
        self._bar.refresh()


def _complain(sentence: object) -> None:
    click.echo(f"animegan: {sentence}", err=True)


def _collect(photos: Iterable[str], report: Report) -> Iterator[Found]:
    for text in photos:
        # A name that exists is taken as it is, so that "photo[1].jpg" needs no escaping; only then it is a pattern.
        matches = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
        if not matches:
            report.failed(f"{text}: no such file or folder.")
        for match in map(Path, matches):
            yield from _pictures_in(match, report) if match.is_dir() else [Found(match, Path(), False)]


def _pictures_in(folder: Path, report: Report) -> list[Found]:
    from animegan_tf.images import IMAGE_SUFFIXES, find_images

    pictures = find_images(folder)
    if not pictures:
        report.failed(f"{folder}: no pictures in this folder ({', '.join(IMAGE_SUFFIXES)}).")
    return [Found(picture, picture.relative_to(folder).parent, True) for picture in pictures]


def _plan(found: list[Found], output: Path | None, style: str, *, one_file: bool) -> list[Job]:
    from animegan_tf.images import IMAGE_SUFFIXES
    from animegan_tf.runtime.names import results_among, styled_name
    from animegan_tf.runtime.stylizer import list_styles

    # Results of an earlier run over the same folder are not photos to stylize.
    results = results_among([item.photo for item in found], {style, *list_styles()})
    found = [item for item in found if not (item.in_folder and item.photo in results)]
    if output is None:
        return [Job(photo, photo.parent / styled_name(photo.name, style)) for photo, _, _ in found]
    if one_file and len(found) == 1 and output.suffix.lower() in IMAGE_SUFFIXES and not output.is_dir():
        return [Job(found[0].photo, output)]
    if one_file and output.suffix and output.suffix != "." and not output.is_dir() and len(found) == 1:
        known = ", ".join(IMAGE_SUFFIXES)
        raise UsageError(
            f"{output}: pictures are written as {known}; for a folder, make it first or leave out the dot."
        )
    if os.path.lexists(output) and not output.is_dir():
        raise UsageError(f"{output} is not a folder: name a folder, or for one picture a .jpg, .png or .webp.")
    return [Job(photo, output / folders / styled_name(photo.name, style)) for photo, folders, _ in found]


def _stylize_all(jobs: list[Job], stylize: Callable[..., Any], report: Report) -> None:
    taken: dict[str, Path] = {}
    for photo, target in report.progress(jobs):
        first = taken.setdefault(os.path.abspath(target), photo)
        try:
            if first is not photo:
                raise ImageError(f"{photo} would be written to {target}, as {first} is.")
            report.wrote(stylize(photo, output=target))
        except AnimeganError as error:
            report.failed(error)


def _style_row(manifest: Manifest) -> tuple[str, ...]:
    files = " ".join(f"{_kind(file)}:{file.precision}:{_size(file.bytes)}" for file in manifest.files)
    choices = []
    if manifest.classes:
        choices.append(f"[--label: {', '.join(manifest.classes)}]")
    if "code" in manifest.inputs:
        choices.append("[takes a style picture: --style-image]")
    return manifest.name, manifest.system, manifest.licence, files, " ".join([manifest.description, *choices]).lstrip()


def _kind(file: ModelFile) -> str:
    kind = file.format if file.role == "generator" else f"{file.format}-encoder"
    return f"{kind}-{file.size[0]}x{file.size[1]}" if file.size else kind


def _size(number: int) -> str:
    return f"{number / 1e6:.1f}MB" if number >= 1e6 else f"{number / 1e3:.0f}kB"


def _print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def main() -> None:
    """Runs the command line; the entry point `animegan`."""
    cli(prog_name="animegan")


if __name__ == "__main__":
    main()
