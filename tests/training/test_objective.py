"""The terms by hand, with features simple enough to compute: the picture itself and its double."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError
from animegan_tf.losses import pixel
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.training.objective import Objective, feature_names, mean_grams, stream_names

CONFIG = TrainConfig(
    content_layer="block1_conv1",
    gram_layers=("block1_conv2", "block1_conv1"),
    content_weight=2.0,
    gram_weight=3.0,
    color_weight=5.0,
    chroma_weight=6.0,
    tv_weight=7.0,
    flat_weight=11.0,
    adversarial_weight=300.0,
)


class CountingFeatures:
    """The picture as block1_conv1, twice the picture as block1_conv2."""

    def __init__(self):
        self.calls = []

    def __call__(self, image):
        image = np.asarray(image)
        self.calls.append(image.shape[0])
        return {"block1_conv1": image, "block1_conv2": 2 * image}


def _gram(x):
    flat = x.reshape(x.shape[0], -1, 3)
    return np.einsum("bnc,bnd->bcd", flat, flat) / flat[0].size


def test_generator_terms_by_hand(batch, rng):
    objective = Objective(CONFIG, CountingFeatures())
    stylized = rng.uniform(-1, 1, batch["photo"].shape).astype("float32")
    logits = np.array([[0.0], [2.0]], "float32")
    terms = objective.generator_terms(batch, stylized, objective.targets(batch), logits)
    difference = np.abs(_gram(batch["anime_gray"]) - _gram(stylized)).mean()
    expected = {
        "adversarial": 300 * 1.0,
        "content": 2 * np.abs(batch["photo"] - stylized).mean(),
        "gram": 3 / 2 * (4 * difference + difference),
        "color": 5 * float(pixel.color(batch["photo"], stylized)),
        "chroma": 6 * float(pixel.chroma_contrast(batch["photo"], stylized)),
        "tv": 7 * float(pixel.total_variation(stylized)),
        "flat": 11 * float(pixel.flat_variation(batch["photo"], stylized)),
    }
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4, err_msg=name)


def test_content_compares_with_the_photo_and_style_with_the_gray_picture(batch):
    objective = Objective(CONFIG, CountingFeatures())
    targets = objective.targets(batch)
    same = objective.generator_terms(batch, batch["photo"], targets, None)
    assert float(same["content"]) == 0 and float(same["gram"]) > 0
    moved = objective.targets(batch | {"anime": -batch["anime"], "anime_gray": -0.1 * batch["anime_gray"]})
    np.testing.assert_array_equal(moved["photo"]["block1_conv1"], targets["photo"]["block1_conv1"])
    assert np.abs(np.asarray(moved["grams"]["block1_conv1"]) - np.asarray(targets["grams"]["block1_conv1"])).max() > 0
    gray = objective.generator_terms(batch, batch["anime_gray"], targets, None)
    assert float(gray["gram"]) == pytest.approx(0, abs=1e-6) and float(gray["content"]) > 0


def test_color_style_compares_with_the_color_picture(batch):
    objective = Objective(replace(CONFIG, gram_picture="color"), CountingFeatures())
    terms = objective.generator_terms(batch, batch["anime"], objective.targets(batch), None)
    assert float(terms["gram"]) == pytest.approx(0, abs=1e-6)


def test_photo_and_style_share_one_pass(batch):
    features = CountingFeatures()
    Objective(CONFIG, features).targets(batch)
    assert features.calls == [4]
    assert set(Objective(CONFIG, features).targets(batch, pretraining=True)) == {"photo"}
    assert features.calls == [4, 2]


def test_a_weight_of_zero_is_not_computed(batch):
    zero = {f"{name}_weight": 0.0 for name in ("content", "gram", "color", "chroma", "tv", "flat", "adversarial")}
    with pytest.raises(ConfigError, match="nothing to learn from"):
        replace(CONFIG, **zero, pretrain_epochs=0)
    config = replace(CONFIG, **zero | {"tv_weight": 1.0}, pretrain_epochs=0)
    assert feature_names(config) == ()
    objective = Objective(config, build_vgg19((), "imagenet"))
    assert objective.generator_terms(batch, batch["photo"], objective.targets(batch), None).keys() == {"tv"}
    only_gray = replace(CONFIG, discriminator_anime_weight=0, discriminator_smooth_weight=0)
    kinds, pictures = Objective(only_gray, CountingFeatures()).discriminator_pictures(batch, batch["photo"])
    assert kinds == ["stylized", "gray"]
    np.testing.assert_array_equal(pictures, np.concatenate([batch["photo"], batch["anime_gray"]]))


def test_discriminator_terms_by_hand():
    config = replace(
        CONFIG,
        discriminator_weight=10,
        discriminator_anime_weight=1.7,
        discriminator_stylized_weight=1.2,
        discriminator_gray_weight=0.5,
        discriminator_smooth_weight=0.1,
    )
    kinds = ["anime", "stylized", "gray", "smooth"]
    logits = np.array([3.0, 2.0, -1.0, 0.5], "float32").reshape(4, 1)
    terms = Objective(config, CountingFeatures()).discriminator_terms(kinds, logits)
    # Anime should be 1, all others 0.
    expected = {"anime": 17 * 4.0, "stylized": 12 * 4.0, "gray": 5 * 1.0, "smooth": 1 * 0.25}
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(expected)


def test_the_set_target_is_the_mean_gram_and_meets_the_mean_of_the_batch(batch):
    features = CountingFeatures()
    halves = [batch["anime"][:1], batch["anime"][1:]]
    grams = mean_grams(features, CONFIG.gram_layers, halves)
    np.testing.assert_allclose(grams["block1_conv1"][0], _gram(batch["anime"]).mean(0), rtol=1e-5)
    objective = Objective(replace(CONFIG, gram_target="set"), features, grams)
    # The pictures of the set in another order: each differs from the mean, together they have it.
    terms = objective.generator_terms(batch, batch["anime"][::-1], objective.targets(batch), None)
    assert float(terms["gram"]) == pytest.approx(0, abs=1e-6)


def test_each_picture_by_itself_is_held_to_the_mean_of_the_set(batch):
    """Pictures that together have the set's mean, but differ from it: what each of them lacks counts."""
    own = _gram(batch["anime"])
    config = replace(CONFIG, gram_target="each", gram_layers=("block1_conv1",))
    objective = Objective(config, CountingFeatures(), {"block1_conv1": own.mean(0, keepdims=True)})
    terms = objective.generator_terms(batch, batch["anime"][::-1], objective.targets(batch), None)
    assert float(terms["gram"]) == pytest.approx(3 * np.abs(own - own.mean(0)).mean(), rel=1e-4)


def test_further_terms_by_hand(batch, rng):
    config = replace(
        CONFIG,
        perceptual_weight=2.0,
        perceptual_layers=("block1_conv1", "block1_conv2"),
        edge_weight=3.0,
        landmark_weight=4.0,
        output_weight=5.0,
        feature_weight=6.0,
        color_loss="lab",
    )
    batch["teacher"] = rng.uniform(-1, 1, batch["photo"].shape).astype("float32")
    batch["face"] = rng.uniform(0, 1, (2, 32, 32, 1)).astype("float32")
    stylized = rng.uniform(-1, 1, batch["photo"].shape).astype("float32")
    objective = Objective(config, CountingFeatures())
    terms = objective.generator_terms(batch, stylized, objective.targets(batch), None)
    difference = np.abs(batch["photo"] - stylized)
    around = (batch["face"] * difference).sum((1, 2, 3)) / (3 * batch["face"].sum((1, 2, 3)))
    expected = {
        "perceptual": 2 * (difference.mean() + 2 * difference.mean()),
        "edge": 3 * float(pixel.edge(batch["photo"], stylized)),
        "landmark": 4 * around.mean(),
        "output": 5 * np.abs(batch["teacher"] - stylized).mean(),
        "feature": 6 * np.abs(batch["teacher"] - stylized).mean(),
        "color": 5 * float(pixel.lab_color(batch["photo"], stylized)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4, err_msg=name)


def test_layers_of_the_style_term_weigh_as_told(batch, rng):
    config = replace(CONFIG, gram_layer_weights=("2", "0.5"), gram_loss="l2")
    objective = Objective(config, CountingFeatures())
    stylized = rng.uniform(-1, 1, batch["photo"].shape).astype("float32")
    terms = objective.generator_terms(batch, stylized, objective.targets(batch), None)
    error = ((_gram(batch["anime_gray"]) - _gram(stylized)) ** 2).sum((1, 2)).mean()
    np.testing.assert_allclose(terms["gram"], 3 * (2 * 16 * error + 0.5 * error), rtol=1e-4)


def test_several_maps_count_as_their_mean(batch):
    objective = Objective(replace(CONFIG, discriminator_weight=1.0), CountingFeatures())
    maps = [np.array([1.0, 0.0, 0.0, 2.0], "float32").reshape(4, 1, 1, 1), np.zeros((4, 2, 2, 1), "float32")]
    terms = objective.discriminator_terms(["anime", "stylized", "gray", "smooth"], maps)
    expected = {"anime": 1.2 * (0 + 1) / 2, "stylized": 0.0, "gray": 0.0, "smooth": 0.8 * (4 + 0) / 2}
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(expected)
    stylized = objective.generator_terms(batch, batch["photo"], objective.targets(batch), [maps[0][:1], maps[1][:1]])
    assert float(stylized["adversarial"]) == pytest.approx(300 * (0 + 1) / 2)


def test_labels_choose_the_target_of_their_class(batch, rng):
    grams = rng.uniform(0, 1, (2, 3, 3)).astype("float32")
    config = replace(CONFIG, gram_target="set", gram_layers=("block1_conv1",))
    objective = Objective(config, CountingFeatures(), {"block1_conv1": grams})
    batch["label"] = np.array([[0, 1], [0.5, 0.5]], "float32")
    targets = objective.targets(batch)
    np.testing.assert_allclose(targets["grams"]["block1_conv1"], [grams[1], grams.mean(0)], rtol=1e-5)
    batch["label"] = np.eye(2, dtype="float32")
    terms = objective.generator_terms(batch, batch["photo"], objective.targets(batch), None)
    np.testing.assert_allclose(terms["gram"], 3 * np.abs(_gram(batch["photo"]) - grams).mean(), rtol=1e-4)


def test_pictures_of_one_class_meet_its_target_together(batch, rng):
    """The two pictures of class 1 in another order: each differs from the mean, together they have it."""
    own = _gram(batch["photo"])
    config = replace(CONFIG, gram_target="set", gram_layers=("block1_conv1",))
    objective = Objective(config, CountingFeatures(), {"block1_conv1": np.stack([own[0], own.mean(0)])})
    batch["label"] = np.array([[0, 1], [0, 1]], "float32")
    terms = objective.generator_terms(batch, batch["photo"][::-1], objective.targets(batch), None)
    assert float(terms["gram"]) == pytest.approx(0, abs=1e-6)


def test_abstraction_takes_the_photos_place_in_what_is_kept(batch, rng):
    config = replace(CONFIG, content_picture="abstraction", likeness_weight=2.0, tone_weight=4.0, cel_weight=9.0)
    assert "abstraction" in stream_names(config) and "abstraction" not in stream_names(CONFIG)
    batch = batch | {"abstraction": rng.uniform(-1, 1, batch["photo"].shape).astype("float32")}
    objective = Objective(config, CountingFeatures())
    terms = objective.generator_terms(batch, batch["abstraction"], objective.targets(batch), None)
    assert float(terms["content"]) == float(terms["chroma"]) == float(terms["tone"]) == float(terms["likeness"]) == 0
    assert float(terms["flat"]) == pytest.approx(
        11 * float(pixel.flat_variation(batch["abstraction"], batch["abstraction"])), rel=1e-5
    )
    assert float(terms["cel"]) == pytest.approx(9 * float(pixel.cel(batch["abstraction"])), rel=1e-5)


def test_likeness_holds_the_style_to_the_pixels_of_the_abstraction(batch, rng):
    """L1 of a shift by 0.1 is 0.1, and the steps between neighbours stay as they are."""
    config = replace(CONFIG, content_picture="abstraction", likeness_weight=3.0)
    batch = batch | {"abstraction": rng.uniform(-0.8, 0.8, batch["photo"].shape).astype("float32")}
    objective = Objective(config, CountingFeatures())
    terms = objective.generator_terms(batch, batch["abstraction"] + np.float32(0.1), objective.targets(batch), None)
    assert float(terms["likeness"]) == pytest.approx(0.3, rel=1e-4)


def test_pretraining_on_pixels_needs_no_features(batch):
    features = CountingFeatures()
    objective = Objective(replace(CONFIG, pretrain_loss="pixels", pretrain_epochs=1), features)
    targets = objective.targets(batch, pretraining=True)
    terms = objective.pretrain_terms(0.5 * batch["photo"], targets)
    assert set(terms) == {"likeness"} and features.calls == []
    assert float(terms["likeness"]) == pytest.approx(
        float(pixel.likeness(batch["photo"], 0.5 * batch["photo"])), rel=1e-5
    )


MEMORY = replace(CONFIG, gram_target="set", gram_memory=0.75, gram_layers=("block1_conv1",), gram_picture="color")


def _style_term(objective, batch, stylized):
    return float(objective.generator_terms(batch, stylized, objective.targets(batch), None)["gram"])


def test_gram_memory_is_the_running_mean_from_the_first_batch_on(batch, rng):
    target = rng.uniform(0, 1, (1, 3, 3)).astype("float32")
    objective = Objective(MEMORY, CountingFeatures(), {"block1_conv1": target})
    pictures = [rng.uniform(-1, 1, batch["photo"].shape).astype("float32") for _ in range(3)]
    mean = None
    for picture in pictures:
        gram = _gram(picture).mean(0, keepdims=True)
        mean = gram if mean is None else 0.75 * mean + 0.25 * gram
        assert _style_term(objective, batch, picture) == pytest.approx(3 * np.abs(target - mean).mean(), rel=1e-4)
    np.testing.assert_allclose(objective.variables[0].numpy(), mean, rtol=1e-5)


def test_gram_memory_has_the_gradient_of_the_batch_undiminished(batch, rng):
    # The mean is above the target, so the gradient is that of 3 * mean(gram), whatever the decay.
    objective = Objective(MEMORY, CountingFeatures(), {"block1_conv1": np.full((1, 3, 3), -9.0, "float32")})
    objective.variables[0].assign(np.full((1, 3, 3), 0.5, "float32"))
    stylized = tf.constant(rng.uniform(-1, 1, batch["photo"].shape).astype("float32"))
    plain = Objective(replace(MEMORY, gram_memory=0.0), CountingFeatures(), objective.style_grams)
    found = []
    for each in (objective, plain):
        with tf.GradientTape() as tape:
            tape.watch(stylized)
            term = each._gram({"block1_conv1": stylized}, each.targets(batch))
        found.append(tape.gradient(term, stylized).numpy())
    assert np.abs(found[1]).max() > 0
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-9)


def test_gram_memory_refuses_classes():
    with pytest.raises(ConfigError, match="--gram_memory is for one style"):
        Objective(MEMORY, CountingFeatures(), {"block1_conv1": np.ones((2, 3, 3), "float32")})


def test_vgg19_sees_the_middle_of_every_picture(batch, rng):
    config = replace(CONFIG, feature_crop=32, color_weight=0, chroma_weight=0, tv_weight=0, flat_weight=0)
    whole = {name: rng.uniform(-1, 1, (2, 96, 96, 3)).astype("float32") for name in (*batch, "stylized")}
    middles = {name: picture[:, 32:64, 32:64] for name, picture in whole.items()}
    stylized, logits = whole.pop("stylized"), np.zeros((2, 1), "float32")
    middle = middles.pop("stylized")
    cropped, plain = (
        Objective(config, CountingFeatures()),
        Objective(replace(config, feature_crop=0), CountingFeatures()),
    )
    found = cropped.generator_terms(whole, stylized, cropped.targets(whole), logits)
    expected = plain.generator_terms(middles, middle, plain.targets(middles), logits)
    assert {name: float(term) for name, term in found.items()} == {n: float(t) for n, t in expected.items()}
    before = cropped.pretrain_terms(stylized, cropped.targets(whole, pretraining=True))
    assert float(before["content"]) == float(expected["content"])


def test_the_discriminator_sees_the_middle_of_every_picture(batch):
    whole = np.arange(2 * 96 * 96 * 3, dtype="float32").reshape(2, 96, 96, 3)
    objective = Objective(replace(CONFIG, discriminator_crop=32), CountingFeatures())
    np.testing.assert_array_equal(objective.judged_part(whole), whole[:, 32:64, 32:64])
    np.testing.assert_array_equal(objective.judged_part(whole[:, :32, :32]), whole[:, :32, :32])
    kinds, pictures = objective.discriminator_pictures(dict.fromkeys(batch, whole), whole)
    assert pictures.shape == (2 * len(kinds), 32, 32, 3)
    np.testing.assert_array_equal(pictures[2 * kinds.index("stylized") :][:2], whole[:, 32:64, 32:64])
