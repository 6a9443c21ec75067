"""What the shipped styles promise (docs/styles.md), measured anew where their pictures and VGG19 are at hand."""

import os
from pathlib import Path

import pytest

from animegan_tf.evaluation.run import EvaluateOptions, evaluate
from animegan_tf.runtime.stylizer import list_styles

DATA = Path(os.environ.get("ANIMEGAN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PHOTOS, WEIGHTS = DATA / "photo/coco_ccby", DATA / "vgg19/vgg19_conv1_1_to_conv3_4_f32.npz"
# Shares of luminance gradients below 2 of 255; the prints have 0.14 of them, the game art 0.43, photos 0.14, and the
# paintings, which are strokes all over, 0.04.
FLATNESS = {"hokusai": 0.12, "duelyst": 0.28, "monet": 0.04}
# The file names of the pictures that a style was made of, where they are not all of its folder.
CHOSEN = {"monet": Path(__file__).resolve().parents[2] / "docs/monet_paintings.txt"}


def style_folder(name: str, made: Path) -> str:
    """Returns the folder of the pictures that a style was made of; `made` gets links to them where they were chosen."""
    folder = DATA / "style" / name
    if name not in CHOSEN:
        return str(folder)
    for picture in CHOSEN[name].read_text(encoding="utf-8").split():
        (made / picture).symlink_to((folder / picture).resolve(strict=True))
    return str(made)


@pytest.mark.slow
@pytest.mark.skipif(
    not (PHOTOS.is_dir() and WEIGHTS.is_file()), reason=f"no pictures and VGG19: {DATA} (ANIMEGAN_DATA)"
)
@pytest.mark.parametrize("name", list_styles())
def test_a_style_is_recognised_and_the_photo_too(name, tmp_path):
    options = EvaluateOptions(
        styles=(name,),
        photo_dir=str(PHOTOS),
        style_dir=style_folder(name, tmp_path),
        vgg19_weights=str(WEIGHTS),
        features="vgg19",
        clip="",
        rounds=0,
    )
    (scores,) = evaluate(options).results
    assert scores.pictures == 51 and scores.style_ratio <= 0.4 and scores.ssim >= 0.6
    assert scores.grid <= 0.15  # no checkerboard; the photos themselves have 0.1
    assert scores.flatness >= FLATNESS[name] and scores.flatness_native >= FLATNESS[name]
