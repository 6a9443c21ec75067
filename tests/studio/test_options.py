"""Flags of a new style: its own, and those of the recipe, which may be given as they are."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from animegan_tf.errors import ConfigError, UnknownNameError
from animegan_tf.options import parse_flags
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.studio.options import RECIPE, NewStyleOptions, changed_names, recipe_config, with_changes


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--out=a", "--minutes", "5"], ["--out=a", "--minutes", "5"]),
        (["--gram_weight=8", "--out=a"], ["--out=a", "--change=--gram_weight=8"]),
        (["--out", "a", "-gram_weight", "8", "--xla"], ["--out", "a", "--change=--gram_weight=8 --xla"]),
        (["--noxla", "--gram_layers=a,b"], ["--change=--noxla --gram_layers=a,b"]),
        (["--style_weights=a b.csv"], ["--change='--style_weights=a b.csv'"]),
        (["--vgg19_weights=random", "--precision=float32"], ["--vgg19_weights=random", "--precision=float32"]),
        (["--gram_weigth=8"], ["--gram_weigth=8"]),
        (["--change=--gram_weight=8", "--seed=1"], ["--change=--gram_weight=8 --seed=1"]),
        (["--seed=1", "--change", "--gram_weight=8", "--xla"], ["--change=--gram_weight=8 --seed=1 --xla"]),
        (["--change="], []),
    ],
)
def test_flags_of_a_recipe_move_into_change(argv, expected):
    assert with_changes(argv) == expected


def test_changes_reach_the_recipe(options, tmp_path):
    given = [f"--{name}={getattr(options, name)}" for name in ("photo_dir", "style_dir", "out", "vgg19_weights")]
    parsed = parse_flags(NewStyleOptions, with_changes([*given, "--gram_weight=8.5", "--flip", "0"]))
    config = recipe_config(parsed)
    assert changed_names(parsed) == ["gram_weight", "flip"]
    recipe = read_flagfile(list_recipes()[RECIPE])
    assert config == replace(recipe, gram_weight=8.5, flip=0.0, vgg19_weights="random")


def test_a_flagfile_of_ones_own_is_a_recipe(options, tmp_path):
    (tmp_path / "mine.flags").write_text("--recipe=mine\n--gram_weight=7\n")
    assert recipe_config(replace(options, recipe=str(tmp_path / "mine.flags"))).gram_weight == 7


def test_paths_are_absolute_beside_each_other(options, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = replace(options, out="out/x/", style_dir="prints")
    assert relative.target == tmp_path / "out/x" and relative.work == tmp_path / "out/x.work"
    assert relative.said["style_dir"] == str(tmp_path / "prints")
    assert relative.said["recipe"] == RECIPE


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"out": ""}, ConfigError, "--out is needed."),
        ({"out": "photos/new/mine", "photo_dir": "photos"}, ConfigError, "--out=photos/new/mine is inside --photo_dir"),
        ({"out": "prints", "style_dir": "./prints"}, ConfigError, "--out=prints is inside --style_dir"),
        ({"minutes": 0.01}, ConfigError, "--minutes=0.01 is below the smallest allowed value, 0.1."),
        ({"precision": "float16"}, ConfigError, "--precision=float16 is not one of auto, float32, mixed_bfloat16."),
        ({"recipe": "fast_stile"}, UnknownNameError, "Did you mean 'fast_style'?"),
        ({"recipe": "no.flags"}, ConfigError, "--recipe=no.flags does not exist."),
        ({"change": "--gram_weigth=8"}, ConfigError, "Did you mean: gram_weight"),
        ({"change": "--gram_weight=-1"}, ConfigError, "not a non-negative number"),
        ({"change": "--gram_weight='8"}, ConfigError, "cannot be read as flags: No closing quotation."),
        ({"change": "--steps_per_epoch=3"}, ConfigError, "--steps_per_epoch is planned from --minutes here"),
        ({"change": "--max_steps=3"}, ConfigError, "--max_steps is not a flag of a recipe"),
        ({"change": "--classes=a,b"}, ConfigError, "holds several styles: train it with animegan-train"),
    ],
)
def test_what_cannot_work_is_one_sentence(options, change, error, message):
    with pytest.raises(error, match=message) as caught:
        recipe_config(replace(options, **change))
    assert os.linesep not in str(caught.value)
