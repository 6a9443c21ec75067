"""A tiny configuration and trainer: 32 px pictures, toy networks of two convolutions, random VGG19 up to block1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from toys import TOYS, toy_trainer

from animegan_tf.config import TrainConfig
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.trainer import Trainer


@pytest.fixture
def toy_networks(monkeypatch) -> None:
    """Registers both as 'toy': a new system is one class and one line."""
    for networks, toy in TOYS:
        monkeypatch.setitem(networks, "toy", toy)


@pytest.fixture
def tiny_config(toy_networks, picture_dirs, tmp_path) -> TrainConfig:
    """Returns the smoke recipe on tiny pictures and toy networks with VGG19 up to block1, one epoch of each phase."""
    photo_dir, style_dir = picture_dirs
    return replace(
        read_flagfile(list_recipes()["smoke"]),
        generator="toy",
        discriminator="toy",
        content_layer="block1_conv2",
        vgg19_weights="random",
        photo_dir=str(photo_dir),
        style_dir=str(style_dir),
        run_dir=str(tmp_path / "run"),
        sample_every=0,
    )


@pytest.fixture
def batch() -> dict[str, np.ndarray]:
    """Returns a batch of two random pictures of each stream, [2, 32, 32, 3] float32 in [-1, 1]."""
    random = np.random.default_rng(3)
    anime = random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    gray = np.repeat(anime.mean(-1, keepdims=True), 3, axis=-1)
    photo = random.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    return {"photo": photo, "anime": anime, "anime_gray": gray, "anime_smooth": gray * 0.5}


@pytest.fixture
def make_trainer() -> Callable[..., Trainer]:
    """Returns a function config -> compiled Trainer, its networks seeded alike each time."""
    return toy_trainer
