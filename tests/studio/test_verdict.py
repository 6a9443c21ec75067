"""A verdict in words: which figures bring which sentence, and which flag it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.losses.adversarial import ADVERSARIAL_LOSSES
from animegan_tf.studio.verdict import Figures, colorfulness, discriminator_share, judge, mean_color

CONFIG = TrainConfig(
    gram_weight=5.0,
    content_weight=0.7,
    flat_weight=8.0,
    tv_weight=0.3,
    chroma_weight=3.0,
    adversarial_weight=1.0,
    discriminator_weight=1.0,
    discriminator_anime_weight=1.0,
    discriminator_stylized_weight=1.0,
    discriminator_lr=2e-4,
)
GOOD = Figures(
    steps=2000,
    style_ratio=0.42,
    ssim=0.66,
    flatness=(0.2, 0.14, 0.14),
    color=(60.0, 50.0, 70.0),
    int8_error=0.008,
    grid=0.1,
    discriminator=0.6,
)


def test_a_good_style_gets_two_sentences():
    assert judge(GOOD, CONFIG) == [
        "The style is strong: its distance to the style pictures is 0.42 of the photos' own.",
        "The content is kept: luminance SSIM to the photo 0.66.",
    ]


@pytest.mark.parametrize(
    ("change", "sentence", "advice"),
    [
        (
            {"style_ratio": 0.55, "ssim": 0.8},
            "The style could be stronger: ",
            "Try --gram_weight=8, or more --minutes.",
        ),
        ({"style_ratio": 0.75, "ssim": 0.8}, "The style is weak: ", "Try --gram_weight=8, or more --minutes."),
        ({"style_ratio": 0.75}, "The style is weak: ", "Give it more --minutes, or style pictures that are more alike"),
        ({"style_ratio": 0.75, "steps": 40}, "The style is weak: ", "40 steps are few: give it more --minutes."),
        ({"ssim": 0.5}, "The content suffers: ", "Try --content_weight=1, or --gram_weight=3.5."),
        ({"flatness": (0.06, 0.14, 0.4)}, "Calm areas are restless: ", "Try --flat_weight=13 or --tv_weight=0.6."),
        ({"color": (20.0, 50.0, 40.0)}, "The colours die: ", "Try --chroma_weight=6, and leave"),
        ({"color": (38.0, 50.0, 60.0)}, "The colours are paler than the photos' (38 against 50)", "--gram_weight=8."),
        ({"discriminator": 0.04}, "The discriminator won: ", "--discriminator_lr=5e-05 or --adversarial_weight=0.5."),
        (
            {"grid": 0.3},
            "A grid of dots lies over calm areas: 0.30 levels",
            "Try --grid_weight=60 or --gram_weight=2.5.",
        ),
        ({"int8_error": 0.02}, "The int8 file differs from the others by 0.020", "use float16."),
    ],
)
def test_each_weakness_has_a_sentence_and_an_advice(change, sentence, advice):
    found = [text for text in judge(replace(GOOD, **change), CONFIG) if text.startswith(sentence)]
    assert len(found) == 1 and advice in found[0]


def test_content_is_held_by_the_term_that_the_recipe_holds_it_by():
    lost, neither = replace(GOOD, ssim=0.5), replace(CONFIG, content_weight=0, pretrain_loss="pixels")
    assert "Try --likeness_weight=15, or" in judge(lost, replace(neither, likeness_weight=10))[-1]
    assert "Try --content_weight=1, or" in judge(lost, neither)[-1]


def test_what_was_not_measured_is_not_judged():
    figures = replace(GOOD, style_ratio=None, int8_error=None, grid=None, discriminator=None)
    assert judge(figures, CONFIG) == judge(GOOD, CONFIG)[1:]


def test_a_weight_of_zero_starts_somewhere():
    restless = replace(GOOD, flatness=(0.01, 0.14, 0.14))
    assert "--flat_weight=4 or --tv_weight=0.3" in judge(restless, replace(CONFIG, flat_weight=0, tv_weight=0))[-1]


def test_colourfulness_is_the_mean_range_of_a_pixel():
    pixels = np.array([[[255, 0, 0], [128, 128, 128]], [[10, 40, 20], [0, 255, 255]]], np.uint8)
    assert colorfulness(pixels) == (255 + 0 + 30 + 255) / 4
    assert mean_color([pixels, np.zeros((2, 2, 3), np.uint8)]) == 540 / 8


def _log(tmp_path, *losses):
    lines = [
        f"2026 step {number} loss/d/anime={anime} loss/d/gray=9 loss/d/stylized={stylized} loss/d/total=99"
        for number, (anime, stylized) in enumerate(losses)
    ]
    path = tmp_path / "log.txt"
    path.write_text("\n".join(["2026 step 0 loss/g/content=0.5", *lines, ""]))
    return path


def test_the_discriminator_is_judged_by_the_end_of_the_log(tmp_path):
    log = _log(tmp_path, *[(0.25, 0.25)] * 8, (0.1, 0.02), (0.06, 0.02))
    # The last fifth: (0.12 + 0.08) / 2 of the 2 x 0.25 of a discriminator that always says 1/2.
    assert discriminator_share(log, CONFIG) == pytest.approx(0.2)
    hinge = replace(CONFIG, adversarial_loss="hinge", discriminator_weight=2.0)
    assert discriminator_share(log, hinge) == pytest.approx(0.1 / 4)


@pytest.mark.parametrize("name", ["lsgan", "lsgan_soft", "hinge", "vanilla"])
def test_a_discriminator_that_says_the_same_of_all_pictures_has_the_share_1(tmp_path, name):
    """Of all that it could say of every picture alike, it says what costs it least."""
    loss = ADVERSARIAL_LOSSES[name]
    said = np.arange(-2, 2.005, 0.01, np.float32)
    both = [(float(loss.real(each)), float(loss.fake(each))) for each in said]
    log = _log(tmp_path, min(both, key=sum))
    assert discriminator_share(log, replace(CONFIG, adversarial_loss=name)) == pytest.approx(1, abs=1e-3)


def test_without_a_discriminator_there_is_nothing_to_judge(tmp_path):
    log = _log(tmp_path, (0.25, 0.25))
    assert discriminator_share(log, replace(CONFIG, adversarial_weight=0.0)) is None
    assert discriminator_share(log, replace(CONFIG, adversarial_loss="wgan")) is None
    assert discriminator_share(tmp_path / "none.txt", CONFIG) is None
    log.write_text("2026 step 1 loss/g/content=0.5\n")
    assert discriminator_share(log, CONFIG) is None
