"""Options of `animegan-new-style`, and the recipe that they start from and may change."""

from __future__ import annotations

import dataclasses
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from animegan_tf.config import RECIPE_GROUPS, TrainConfig
from animegan_tf.errors import ConfigError, UnknownNameError
from animegan_tf.options import check_bounds, option, parse_flags
from animegan_tf.recipe_files import list_recipes
from animegan_tf.training.run_folder import absolute

RECIPE = "fast_style"
PURPOSE = (
    "Makes a style of your own, for pictures and phones: checks the pictures, trains for --minutes, exports,\n"
    "evaluates. Interrupted, the same command goes on. Every flag of a recipe (see animegan-train --help) may follow:\n"
    "--gram_weight=8."
)
AUTO = "auto"
PRECISIONS = (AUTO, "float32", "mixed_bfloat16")
_PLANNED = ("recipe", "steps_per_epoch", "sample_every", "checkpoint_every", "keep_checkpoints")


@dataclass(frozen=True, kw_only=True)
class NewStyleOptions:
    """Options of `animegan-new-style`; see options.option.

    Raises:
      ConfigError: a folder is not given, or a value is out of its bounds.
    """

    style_dir: str = option("", "folder of style pictures, searched recursively", "pictures")
    photo_dir: str = option("", "folder of photos, searched recursively", "pictures")
    out: str = option("", "style folder to write; the work folder OUT.work appears beside it", "result")
    overwrite: bool = option(False, "replace --out where it exists; what was finished before is made again", "result")
    name: str = option("", "name of the style; empty: the name of --out", "result")
    description: str = option("", "one line about the style", "result")
    license: str = option("unknown", "SPDX identifier of the style's licence, such as CC-BY-4.0", "result")
    credits: str = option(
        "", "whose pictures trained it, and under which terms; empty: from LICENSE.txt in the folders", "result"
    )
    minutes: float = option(60.0, "wall time for everything, in minutes", "training", low=0.1, high=100_000)
    preview_minutes: float = option(3.0, "a preview every so many minutes", "training", low=0.05, high=1000)
    recipe: str = option(RECIPE, "shipped recipe, or a flagfile, to start from", "training")
    precision: str = option(
        AUTO, "arithmetic of training; auto: bfloat16 where the machine computes in it", "training", choices=PRECISIONS
    )
    vgg19_weights: str = option(
        "imagenet", "imagenet (downloaded by Keras), an .npz or .h5 file, or random (for tests)", "training"
    )
    change: str = option(
        "", "flags of the recipe to change, as one text; they may also be given as they are", "training"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("style_dir", "photo_dir", "out"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is needed.")
        for name in ("style_dir", "photo_dir"):
            if self.target.is_relative_to(os.path.abspath(getattr(self, name))):
                raise ConfigError(f"--out={self.out} is inside --{name}, whose pictures would then include results.")

    @property
    def target(self) -> Path:
        """The style folder, absolute."""
        return Path(os.path.abspath(self.out))

    @property
    def work(self) -> Path:
        """The folder of all that is made on the way, beside the style folder."""
        return self.target.with_name(f"{self.target.name}.work")

    @property
    def said(self) -> dict[str, Any]:
        """What decides the training, name -> value, paths absolute: it must stay while the work folder does."""
        names = ("style_dir", "photo_dir", "minutes", "recipe", "precision", "vgg19_weights", "change")
        return {name: _absolute(getattr(self, name)) for name in names}


def with_changes(argv: list[str]) -> list[str]:
    """Returns `argv` with every flag that is a recipe's and not this program's in --change, behind a given one."""
    own = {field.name for field in dataclasses.fields(NewStyleOptions)}
    recipes = {f.name: isinstance(f.default, bool) for f in dataclasses.fields(TrainConfig)}
    kept, given, moved, rest = [], [], [], list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "change" and (equals or rest):
            given.append(value if equals else rest.pop(0))
            continue
        bare = name if name in recipes else name.removeprefix("no")
        if not argument.startswith("-") or name in own or bare not in recipes:
            kept.append(argument)
            continue
        moved.append(f"--{argument.lstrip('-')}")
        if "=" not in argument and not recipes[bare] and rest:
            moved[-1] += f"={rest.pop(0)}"
    changes = " ".join([*given, shlex.join(moved)]).strip()
    return [*kept, f"--change={changes}"] if changes else kept


def recipe_config(options: NewStyleOptions) -> TrainConfig:
    """Returns the recipe with --change and the paths of the weights applied; the folders and schedule are still open.

    Raises:
      UnknownNameError: no such recipe. ConfigError: a change that is none of a recipe, or cannot work.
    """
    try:
        changes = shlex.split(options.change)
    except ValueError as error:
        raise ConfigError(f"--change={options.change} cannot be read as flags: {error}.") from None
    config = parse_flags(TrainConfig, [f"--flagfile={_recipe_file(options.recipe)}", *changes])
    for name in changed_names(options):
        if name in _PLANNED:
            raise ConfigError(f"--{name} is planned from --minutes here; animegan-train takes it.")
        if name in _run_names() and name not in ("xla", "cache_mb", "smooth_dir", "start_from"):
            raise ConfigError(f"--{name} is not a flag of a recipe; animegan-train takes it.")
    if config.classes:
        raise ConfigError(f"--recipe={options.recipe} holds several styles: train it with animegan-train.")
    return dataclasses.replace(config, vgg19_weights=absolute(options.vgg19_weights))


def changed_names(options: NewStyleOptions) -> list[str]:
    """Returns the names of the recipe's flags that --change sets."""
    names = [text.lstrip("-").partition("=")[0] for text in shlex.split(options.change) if text.startswith("-")]
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    return [name if name in known else name.removeprefix("no") for name in names]


def _recipe_file(recipe: str) -> Path:
    if recipe.endswith(".flags"):
        path = Path(recipe)
        if not path.is_file():
            raise ConfigError(f"--recipe={recipe} does not exist.")
        return path
    recipes = list_recipes()
    if recipe not in recipes:
        raise UnknownNameError("recipe", recipe, recipes)
    return recipes[recipe]


def _run_names() -> set[str]:
    return {f.name for f in dataclasses.fields(TrainConfig) if f.metadata["group"] not in RECIPE_GROUPS}


def _absolute(value: Any) -> Any:
    return absolute(value) if isinstance(value, str) else value
