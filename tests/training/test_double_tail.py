"""AnimeGANv3's step: its targets, its terms by hand, and which network each part of it changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_case import double_tail_trainer

from animegan_tf.data.regions import revision_target, superpixels
from animegan_tf.errors import ConfigError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.losses import pixel
from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.double_tail import DoubleTailObjective, DoubleTailTrainer, halves, self_guided
from animegan_tf.training.objective import stream_names
from animegan_tf.training.phases import Phase

SMALL = {"image_size": 32, "content_layer": "block1_conv2", "gram_layers": (), "gram_layer_weights": ()}


@pytest.fixture
def config():
    return replace(read_flagfile(list_recipes()["animeganv3_hayao"]), **SMALL, vgg19_weights="random")


@pytest.fixture
def streams(batch):
    """Returns the batch with the superpixels of its photos."""
    regions = [to_float(superpixels(to_uint8(photo), min_size=10)) for photo in batch["photo"]]
    return batch | {"photo_regions": np.stack(regions)}


def _values(variables):
    return [v.numpy().copy() for v in variables]


def _changed(variables, before):
    return any((v.numpy() != old).any() for v, old in zip(variables, before, strict=True))


def test_a_full_step_changes_all_three_networks_and_adds_up(config, streams):
    trainer = double_tail_trainer(replace(config, likeness_weight=2.0))
    parts = (trainer.generator, trainer.discriminator, trainer.main_discriminator)
    before = [_values(part.trainable_variables) for part in parts]
    logs = {name: float(value) for name, value in trainer.train_step(streams).items()}
    assert all(_changed(part.trainable_variables, old) for part, old in zip(parts, before, strict=True))
    for side in ("g", "d", "d_main"):
        terms = [v for name, v in logs.items() if name.startswith(f"loss/{side}/") and not name.endswith("total")]
        assert sum(terms) == pytest.approx(logs[f"loss/{side}/total"], rel=1e-4)
    support = {"adversarial", "content", "gram", "regions", "photo_regions", "color", "tv", "likeness"}
    main = {"main_adversarial", "revision", "revision_feature", "main_tv"}
    assert {name.removeprefix("loss/g/") for name in logs if name.startswith("loss/g/")} == support | main | {"total"}
    assert {name for name in logs if name.startswith("loss/d")} == {
        *("loss/d/anime", "loss/d/stylized", "loss/d/smooth", "loss/d/total"),
        *("loss/d_main/revision", "loss/d_main/main", "loss/d_main/total"),
    }


@pytest.mark.parametrize(("tails", "terms"), [("both", {"content", "main_content"}), ("support", {"content"})])
def test_pretraining_trains_the_tails_it_is_told_to(config, streams, tails, terms):
    trainer = double_tail_trainer(replace(config, pretrain_tails=tails))
    trainer.set_phase(Phase("pretrain", 0, 4))
    generator = trainer.generator
    groups = [generator.support.trainable_variables, generator.main.trainable_variables]
    groups += [trainer.discriminator.variables, trainer.main_discriminator.variables]
    before = [_values(group) for group in groups]
    logs = trainer.train_step(streams)
    changed = [_changed(group, old) for group, old in zip(groups, before, strict=True)]
    assert changed == [True, tails == "both", False, False]
    assert set(logs) == {f"loss/g/{term}" for term in terms | {"total"}} | {"stylized/mean"}


def test_in_their_stage_the_discriminators_learn_alone(config, streams):
    trainer = double_tail_trainer(config)
    trainer.set_phase(Phase("discriminator", 0, 4))
    before = _values(trainer.generator.variables), _values(trainer.main_discriminator.trainable_variables)
    logs = trainer.train_step(streams)
    assert not _changed(trainer.generator.variables, before[0])
    assert _changed(trainer.main_discriminator.trainable_variables, before[1])
    assert not any(name.startswith("loss/g") for name in logs)


def test_the_targets_are_what_the_cpu_functions_make(config, rng):
    objective = DoubleTailObjective(replace(config, region_min_size=10), build_vgg19((), "random"))
    raw, support = rng.uniform(-1, 1, (2, 2, 32, 32, 3)).astype("float32")
    targets = objective.cpu_targets(raw, support)
    for k in range(2):
        regions = to_float(superpixels(to_uint8(support[k]), min_size=10))
        np.testing.assert_allclose(targets["regions"][k], regions, atol=1e-6)
        revision = revision_target(to_uint8(raw[k]), denoise=(5, 6, 5, 7))
        np.testing.assert_allclose(targets["revision"][k], revision, atol=1e-6)


def test_terms_by_hand(config, streams, rng):
    """With the picture itself as features: distances of features become distances of pictures, per channel."""
    config = replace(config, gram_layers=("block1_conv2",), gram_layer_weights=("2",), adversarial_weight=3.0)
    objective = DoubleTailObjective(config, lambda image: {"block1_conv2": image})
    support, main, revision, regions = rng.uniform(-1, 1, (4, 2, 32, 32, 3)).astype("float32")
    cpu = {"regions": regions, "revision": revision}
    constants = objective.constants(streams, cpu, False)
    logits, main_logits = np.full((2, 1), 0.4, "float32"), np.full((2, 1), 0.5, "float32")
    terms = objective.pair_terms(streams, support, main, cpu, constants, logits, main_logits)

    def distance(a, b):
        return np.abs(a - b).mean() / 3

    gray = np.repeat(support @ np.array([0.2989, 0.587, 0.114], "float32")[:, None], 3, axis=-1)
    expected = {
        "adversarial": 3 * (0.4 - 0.9) ** 2,
        "content": 0.5 * distance(streams["photo"], support),
        "gram": 2 * np.abs(_centered_gram(streams["anime_gray"]) - _centered_gram(gray)).mean() / 3,
        "regions": 0.2 * distance(regions, support),
        "photo_regions": 0.2 * distance(streams["photo_regions"], support),
        "color": 10 * float(pixel.lab_color(streams["photo"], support)),
        "tv": 0.001 * float(pixel.total_variation(support)),
        "main_adversarial": 0.02 * (0.5 - 1) ** 2,
        "revision": 50 * np.abs(revision - main).mean(),
        "revision_feature": 0.5 * distance(revision, main),
        "main_tv": 0.001 * float(pixel.total_variation(main)),
    }
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4, err_msg=name)


def _centered_gram(x):
    flat = x.reshape(x.shape[0], -1, 3)
    flat = flat - flat.mean(1, keepdims=True)
    return np.einsum("bnc,bnd->bcd", flat, flat) / flat[0].size


def test_discriminators_see_grey_with_soft_and_colour_with_hard_labels(config, streams, rng):
    objective = DoubleTailObjective(config, lambda image: {})
    support = rng.uniform(-1, 1, streams["photo"].shape).astype("float32")
    kinds, pictures = objective.support_pictures(streams, support)
    assert kinds == ["anime", "stylized", "smooth"]
    np.testing.assert_array_equal(pictures[:2], streams["anime_gray"])
    assert float(np.ptp(np.asarray(pictures), axis=-1).max()) < 1e-6
    logits = np.array([[0.4], [0.4], [0.6], [0.6], [0.1], [0.3]], "float32")
    terms = objective.discriminator_terms(kinds, logits)
    assert float(terms["anime"]) == pytest.approx(0.5 * 0.25)
    assert float(terms["stylized"]) == pytest.approx(1.0 * 0.25)
    assert float(terms["smooth"]) == pytest.approx(2.0 * (0 + 0.04) / 2, abs=1e-6)
    main = objective.main_discriminator_terms(np.full((2, 1), 0.5), np.full((2, 1), 0.2))
    assert float(main["revision"]) == pytest.approx(0.1 * 0.25) and float(main["main"]) == pytest.approx(0.1 * 0.04)


def test_self_guiding_keeps_edges_and_smooths_noise(rng):
    step = np.where(np.arange(32) < 16, -0.8, 0.8).astype("float32")
    clean = np.broadcast_to(step[None, None, :, None], (1, 32, 32, 3))
    noisy = clean + rng.normal(0, 0.05, clean.shape).astype("float32")
    smooth = np.asarray(self_guided(noisy))
    assert np.abs(smooth - clean).mean() < 0.6 * np.abs(noisy - clean).mean()
    assert smooth[0, 16, 13, 0] < -0.7 and smooth[0, 16, 18, 0] > 0.7
    assert np.abs(smooth).max() <= 1


def test_halves_of_one_map_and_of_several():
    logits = np.arange(8.0, dtype="float32").reshape(4, 2, 1, 1)
    first, second = halves([logits, logits[:, :1]])
    np.testing.assert_array_equal(first[0], logits[:2])
    np.testing.assert_array_equal(second[1], logits[2:, :1])


def test_regions_are_asked_of_the_data_only_where_they_weigh(config):
    assert stream_names(config) == ("photo_regions",)
    assert stream_names(replace(config, photo_region_weight=0.0)) == ()


def test_each_discriminator_is_frozen_by_its_own_loss(config, streams):
    trainer = double_tail_trainer(replace(config, freeze_threshold=0.2))
    logs = {name: float(value) for name, value in trainer.train_step(streams).items()}
    for side in ("d", "d_main"):
        assert float(trainer.strengths[side].numpy()) == pytest.approx(logs[f"loss/{side}/total"], rel=1e-5)
        assert logs[f"frozen/{side}"] == (logs[f"loss/{side}/total"] < 0.2)
    assert set(trainer.parts) >= {"main_discriminator", "main_optimizer"}


def test_a_discriminator_that_needs_more_than_a_picture_is_refused(config):
    with pytest.raises(ConfigError, match="--discriminator=conditional needs a label, which a double-tail"):
        DoubleTailTrainer(
            generator=build_generator("animeganv3", 4),
            objective=DoubleTailObjective(replace(config, discriminator="conditional"), lambda image: {}),
            discriminator=build_discriminator("conditional", 4),
        )


@pytest.mark.parametrize("loss", [pytest.param("hinge", marks=pytest.mark.slow), "vanilla", "wgan"])
def test_other_adversarial_losses_and_r1_train_it_too(config, streams, loss):
    other = replace(config, adversarial_loss=loss, gradient_penalty="r1", penalty_weight=1.0)
    logs = double_tail_trainer(other).train_step(streams)
    assert all(np.isfinite(float(value)) for value in logs.values()) and "loss/d_main/penalty" in logs


@pytest.mark.parametrize("change", [{"discriminator_steps": 2}, {"discriminator_gray_weight": 1.0}])
def test_what_a_double_tail_cannot_do_is_one_sentence(config, change):
    with pytest.raises(ConfigError, match="needs --discriminator_steps=1 and --discriminator_gray_weight=0"):
        double_tail_trainer(replace(config, **change))


def test_xla_is_refused(config):
    trainer = double_tail_trainer(config)
    with pytest.raises(ConfigError, match="--xla does not go with a double-tail generator"):
        trainer.compile(optimizer=lambda side: None, jit_compile=True)


def test_penalties_weigh_on_both_discriminators(config, streams):
    trainer = double_tail_trainer(replace(config, gradient_penalty="wgan_gp", penalty_weight=10.0))
    logs = trainer.train_step(streams)
    assert float(logs["loss/d/penalty"]) > 0 and float(logs["loss/d_main/penalty"]) > 0
