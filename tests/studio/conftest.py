"""Pictures enough for the smallest style of one's own, and the options that go with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.studio.options import NewStyleOptions


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Returns (photo_dir, style_dir): 20 smooth random photos and 8 of hard-edged blocks, 64x48."""
    random = np.random.default_rng(5)
    for kind, count, resample in (("photos", 20, Image.Resampling.BICUBIC), ("prints", 8, Image.Resampling.NEAREST)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            small = Image.fromarray(random.integers(0, 256, (6, 8, 3)).astype(np.uint8))
            small.resize((64, 48), resample).save(tmp_path / kind / f"{number:02d}.png")
    return tmp_path / "photos", tmp_path / "prints"


@pytest.fixture
def options(folders, tmp_path) -> NewStyleOptions:
    """Returns the options of a command on those folders, with random VGG19 weights and networks of width 8."""
    return NewStyleOptions(
        photo_dir=str(folders[0]),
        style_dir=str(folders[1]),
        out=str(tmp_path / "out/mine"),
        vgg19_weights="random",
        change="--image_size=32 --discriminator_crop=32 --feature_crop=32 --batch_size=1 --generator_width=8 "
        "--discriminator_width=8",
    )
