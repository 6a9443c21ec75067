"""Every recipe as its users meet it: it trains, exports in every format with parity, and stylizes a picture."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from animegan_tf.apps.cli import cli
from animegan_tf.config import TrainConfig
from animegan_tf.export.run import ExportOptions, export_run
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.run import train

RECIPES = list_recipes()
_TERMS = (
    *("adversarial", "content", "perceptual", "gram", "color", "chroma", "tv", "flat", "edge", "landmark"),
    *("output", "feature", "revision", "revision_feature", "main_adversarial"),
)


def _first_of_each_generator() -> list[str]:
    found: dict[str, str] = {}
    for name, path in RECIPES.items():
        found.setdefault(read_flagfile(path).generator, name)
    return sorted(found.values())


@pytest.fixture(scope="session")
def class_dir(picture_dirs, tmp_path_factory) -> Path:
    """Returns a style folder with the tiny style pictures in a sub-folder for each class any recipe names."""
    root = tmp_path_factory.mktemp("classes")
    for name in {name for path in RECIPES.values() for name in read_flagfile(path).classes} or {"one"}:
        shutil.copytree(picture_dirs[1], root / name)
    return root


def _small(recipe: TrainConfig, photo_dir: Path, style_dir: Path, run_dir: Path) -> TrainConfig:
    """Returns the recipe with every term and network, but small: 32 px, few pictures, width 8, random VGG19."""
    growing = {"image_size": 64, "progressive_start": 32} if recipe.progressive_start else {"image_size": 32}
    return replace(
        recipe,
        **growing,
        batch_size=2 if recipe.border_weight else 1,
        generator_width=8,
        discriminator_width=8,
        sample_every=0,
        steps_per_epoch=1,
        progressive_epochs=1,
        discriminator_pretrain_epochs=0,
        discriminator_crop=0,
        feature_crop=0,
        pretrain_epochs=0,
        frozen_norm_epochs=min(1, recipe.frozen_norm_epochs),
        epochs=2,
        vgg19_weights="random",
        photo_dir=str(photo_dir),
        style_dir=str(style_dir),
        run_dir=str(run_dir),
    )


@pytest.fixture(scope="module")
def train_small(picture_dirs, class_dir, tmp_path_factory):
    """Returns a function recipe name -> (config, outcome) of two steps."""

    def run(name: str):
        folder = tmp_path_factory.mktemp(name)
        config = _small(read_flagfile(RECIPES[name]), picture_dirs[0], class_dir, folder / "run")
        return config, train(config, teacher=lambda photo: 255 - photo)

    return run


@pytest.fixture(scope="module")
def trained(train_small, eagerly):
    """Returns the same, not traced, and each recipe once."""
    done: dict = {}

    def run(name: str):
        if name not in done:
            with eagerly():
                done[name] = train_small(name)
        return done[name]

    return run


def _recipes() -> list:
    """Returns the recipes; those with the networks and the kinds of terms of an earlier one are slow."""
    known: set = set()
    cases = []
    for name, path in RECIPES.items():
        recipe = read_flagfile(path)
        kind = (recipe.generator, recipe.discriminator, recipe.gram_target)
        cases.append(pytest.param(name, marks=[pytest.mark.slow] if kind in known else []))
        known.add(kind)
    return cases


@pytest.mark.parametrize("name", _recipes())
def test_every_recipe_trains_two_steps(trained, name):
    config, outcome = trained(name)
    assert outcome.step == 2
    assert np.isfinite(list(outcome.logs.values())).all()
    assert {f"loss/g/{term}" for term in _TERMS if getattr(config, f"{term}_weight")} <= set(outcome.logs)
    if config.adversarial:
        assert "loss/d/total" in outcome.logs
    assert ("loss/d/penalty" in outcome.logs) == (config.gradient_penalty != "none")


@pytest.mark.slow
@pytest.mark.parametrize("name", _first_of_each_generator())
def test_every_system_trains_as_a_graph(train_small, name):
    assert train_small(name)[1].step == 2


@pytest.mark.parametrize("name", ["conditional_scenes", "mobile_hinge", "style_code"])
def test_a_system_becomes_a_style_that_stylizes(trained, picture_dirs, tmp_path, name):
    """As TFLite, the default: one of each kind; the slow tier has every system and every format."""
    _export_and_stylize(trained(name), picture_dirs, tmp_path / "style", ("tflite",))


@pytest.mark.slow
@pytest.mark.parametrize("name", _first_of_each_generator())
def test_every_system_exports_in_every_format(trained, picture_dirs, tmp_path, name):
    _export_and_stylize(trained(name), picture_dirs, tmp_path / "style", ("saved_model", "tflite", "onnx"))


def _export_and_stylize(run, picture_dirs, folder: Path, formats: tuple[str, ...]) -> None:
    """Exports, which compares every file with the network, and runs `animegan image` with each format."""
    config, outcome = run
    manifest = export_run(ExportOptions(run_dir=str(outcome.run_dir), out=str(folder), formats=formats))
    assert {file.format for file in manifest.files} == set(formats)
    assert manifest.classes == config.classes
    photo, style_picture = (sorted(pictures.iterdir())[0] for pictures in picture_dirs)
    further = [f"--label={manifest.classes[-1]}"] if manifest.classes else []
    further += [f"--style-image={style_picture}"] if "code" in manifest.inputs else []
    for backend in formats:
        target = folder.parent / f"{backend}.png"
        arguments = ["image", str(photo), "-o", str(target), "--style", str(folder), "--backend", backend, *further]
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
        with Image.open(target) as stylized, Image.open(photo) as original:
            assert stylized.size == original.size
            assert np.abs(np.asarray(stylized, int) - np.asarray(original.convert("RGB"), int)).mean() > 1
