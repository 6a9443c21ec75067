"""The shipped recipes: flagfiles by name, and the configuration that one of them is."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from animegan_tf.config import TrainConfig
from animegan_tf.errors import UnknownNameError
from animegan_tf.options import given_flag, parse_flags


def list_recipes() -> dict[str, Path]:
    """Returns the shipped recipes, name -> path of the flagfile."""
    folder = Path(str(resources.files("animegan_tf.recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.flags"))}


def read_flagfile(path: Path) -> TrainConfig:
    """Returns the TrainConfig of one recipe file. Raises ConfigError as `parse_flags`."""
    return parse_flags(TrainConfig, [f"--flagfile={path}"])


def with_recipe(argv: list[str]) -> list[str]:
    """Returns `argv` with the shipped flagfile put first when --recipe=NAME is given and --flagfile is not.

    Raises:
      UnknownNameError: no such recipe.
    """
    name = given_flag(argv, "recipe")
    if name is None or given_flag(argv, "flagfile") is not None:
        return argv
    recipes = list_recipes()
    if name not in recipes:
        raise UnknownNameError("recipe", name, recipes)
    return [f"--flagfile={recipes[name]}", *argv]
