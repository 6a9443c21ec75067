"""What `tools/benchmark.py` can be asked."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animegan_tf.errors import ConfigError, UnknownNameError
from animegan_tf.options import check_bounds, option
from animegan_tf.recipe_files import list_recipes

PURPOSE = (
    "Measures styles, networks and published models in every runtime, memory, start-up, the input pipeline and a "
    "training step; writes benchmark.json, benchmark.md and benchmark.png."
)
SECTIONS = ("runtimes", "memory", "startup", "pipeline", "training")
NONE = ("none",)
_SIDE = r"[1-9]\d{0,4}"
# These change what is done with the figures, and not the figures.
_NO_SETTINGS = ("out", "sections", "resume", "overwrite", "page")


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Options of the benchmark; see options.option.

    Raises:
      ConfigError: a size is no size. UnknownNameError: no such section or recipe.
    """

    out: str = option("out/benchmark", "folder for the results and for networks exported on the way", "benchmark")
    sections: tuple[str, ...] = option(SECTIONS, "what to measure", "benchmark")
    resume: bool = option(
        False, "keep what --out holds, measure the sections that are missing or were cut", "benchmark"
    )
    overwrite: bool = option(
        False, "replace what --out holds; with --resume only the sections named are measured anew", "benchmark"
    )
    page: str = option(
        "", "measure nothing: write the tables of --out into this page, its figures beside it", "benchmark"
    )
    styles: tuple[str, ...] = option((), "styles, names or folders; empty: all that ship", "what")
    main_style: str = option("hokusai", "the style that the targets are about, and whose memory is measured", "what")
    systems: tuple[str, ...] = option(
        (), "recipes whose generators are timed, untrained; empty: one of each generator; none: none", "what"
    )
    width: int = option(0, "channels of these generators; 0: the recipe's", "what", low=0)
    anchors: str = option("", "folder of the published models to measure beside; empty: none", "what")
    sizes: tuple[str, ...] = option(
        ("256", "512", "1280x720", "1920x1080"), "of pictures: the side of a square, or WIDTHxHEIGHT", "timing"
    )
    rounds: int = option(9, "passes over all that is timed at a size", "timing", low=1, high=1000)
    seconds: float = option(8.0, "for each at each size; slow ones pass over rounds, three stay", "timing", low=0)
    max_gmacs: float = option(300.0, "leave out what takes more 10^9 multiply-accumulates a picture", "timing", low=0)
    memory_size: str = option("1920x1080", "picture of the peak memory of each runtime", "memory")
    large_size: str = option("7680x4320", "picture of the peak memory of `animegan image`", "memory")
    starts: int = option(7, "starts of each program", "startup", low=1, high=1000)
    recipe: str = option("animeganv2_hayao", "whose pipeline and whose training step are measured", "training")
    photo_dir: str = option("", "photos for the pipeline; empty: JPEGs of 640x480 made for it", "training")
    style_dir: str = option("", "style pictures for it; empty: likewise", "training")
    vgg19_weights: str = option("random", "as in animegan-train; random ones are as fast", "training")
    batch_size: int = option(0, "pictures a batch; 0: the recipe's", "training", low=0)
    batches: int = option(20, "batches of the pipeline in each round", "training", low=1)
    steps: int = option(3, "training steps that are timed, behind one that is not", "training", low=1)

    def __post_init__(self) -> None:
        check_bounds(self)
        for section in self.sections:
            if section not in SECTIONS:
                raise UnknownNameError("section", section, SECTIONS)
        for recipe in (self.recipe, *(() if self.systems == NONE else self.systems)):
            if recipe not in list_recipes():
                raise UnknownNameError("recipe", recipe, list_recipes())
        for name in ("sizes", "memory_size", "large_size"):
            for text in self.sizes if name == "sizes" else (getattr(self, name),):
                if not re.fullmatch(f"{_SIDE}(x{_SIDE})?", text):
                    raise ConfigError(f"--{name}={text} is no size: 512 is a square, 1280x720 width and height.")

    @property
    def settings(self) -> dict[str, object]:
        """What the figures depend on besides the machine, as it stands in JSON; of paths the last name."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        kept = {name: value for name, value in values.items() if name not in _NO_SETTINGS}
        return {
            name: [without_folders(item) for item in value] if isinstance(value, tuple) else without_folders(value)
            for name, value in kept.items()
        }


def without_folders(value: Any) -> Any:
    """Returns the last name of a path: where things lie on a machine is nobody's business but its owner's."""
    return Path(value).name if isinstance(value, str) and value else value


def read_size(text: str) -> tuple[int, int]:
    """Returns (height, width) of '512' or '1280x720'."""
    width, _, height = text.partition("x")
    return int(height or width), int(width)
