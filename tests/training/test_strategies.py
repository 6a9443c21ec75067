"""Training strategies: the discriminator alone, progressive growing, freezing, penalties, and every combination."""

from __future__ import annotations

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest

from animegan_tf.errors import ConfigError
from animegan_tf.losses import penalties
from animegan_tf.models import DISCRIMINATORS, GENERATORS
from animegan_tf.training.phases import Phase
from animegan_tf.training.progressive import at_size
from animegan_tf.training.run import train

LOSSES = ("lsgan", "lsgan_soft", "hinge", "vanilla", "wgan")
PENALTIES = ("none", "wgan_gp", "r1")


def _values(network):
    return [v.numpy().copy() for v in network.variables]


def _changed(network, before):
    return any((v.numpy() != old).any() for v, old in zip(network.variables, before, strict=True))


def test_in_its_stage_the_discriminator_learns_alone(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    trainer.set_phase(Phase("discriminator", 0, 4))
    before = _values(trainer.generator), _values(trainer.discriminator)
    logs = trainer.train_step(batch)
    assert not _changed(trainer.generator, before[0]) and _changed(trainer.discriminator, before[1])
    assert not any(name.startswith("loss/g") for name in logs) and "loss/d/total" in logs
    assert int(trainer.step.numpy()) == 1


def test_batch_norm_rests_in_that_stage_with_several_updates_too(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, discriminator_steps=2))
    trainer.set_phase(Phase("discriminator", 0, 4))
    before = _values(trainer.generator)
    trainer.train_step(batch)
    assert not _changed(trainer.generator, before)
    assert int(trainer.discriminator_optimizer.iterations.numpy()) == 2


def test_pictures_shrink_by_means_and_other_streams_stay(rng):
    picture = rng.uniform(-1, 1, (2, 8, 8, 3)).astype("float32")
    label = np.eye(2, dtype="float32")
    small = at_size({"photo": picture, "label": label}, 4)
    blocks = picture.reshape(2, 2, 4, 2, 4, 3).mean((2, 4))
    np.testing.assert_allclose(small["photo"], blocks, atol=1e-6)
    assert small["label"] is label
    assert at_size({"photo": picture}, 1)["photo"] is picture


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.0])
def test_a_size_is_faded_in_over_the_smaller_one(rng, alpha):
    picture = rng.uniform(-1, 1, (1, 4, 4, 3)).astype("float32")
    coarse = picture.reshape(1, 2, 2, 2, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    faded = at_size({"photo": picture}, 1, alpha)["photo"]
    np.testing.assert_allclose(faded, (1 - alpha) * coarse + alpha * picture, atol=1e-6)


def test_the_fade_follows_the_step(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    trainer.set_phase(Phase("train", 10, 30, shrink=1, fade_first=10, fade_steps=8))
    seen = []
    for step in (10, 14, 18, 25):
        trainer.step.assign(step)
        seen.append(np.asarray(trainer._at_size(batch)["photo"]))
    coarse = batch["photo"].reshape(2, 16, 2, 16, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(seen[0], coarse, atol=1e-6)
    np.testing.assert_allclose(seen[1], (coarse + batch["photo"]) / 2, atol=1e-6)
    for whole in seen[2:]:
        np.testing.assert_allclose(whole, batch["photo"], atol=1e-6)


def test_growing_trains_at_the_smaller_size(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    trainer.set_phase(Phase("train", 0, 4, shrink=2))
    sizes = []
    stylize = trainer._stylize
    trainer._stylize = lambda batch, training: sizes.append(batch["photo"].shape) or stylize(batch, training=training)
    assert np.isfinite(float(trainer.train_step(batch)["loss/g/total"]))
    assert sizes == [(2, 16, 16, 3)]


def test_a_strong_discriminator_is_frozen_and_let_go_again(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, freeze_threshold=1e6))
    before = _values(trainer.discriminator)
    trained = [v.numpy().copy() for v in trainer.discriminator.trainable_variables]
    logs = trainer.train_step(batch)
    assert float(logs["frozen/d"]) == 1
    for variable, old in zip(trainer.discriminator.trainable_variables, trained, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert int(trainer.discriminator_optimizer.iterations.numpy()) == 0
    trainer.strengths["d"].assign(1e9)
    assert float(trainer.train_step(batch)["frozen/d"]) == 0
    assert _changed(trainer.discriminator, before)


def test_freezing_looks_at_the_running_average_of_the_loss(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, freeze_threshold=1e-6, discriminator_lr=0.0, generator_lr=0.0))
    losses = [float(trainer.train_step(batch)["loss/d/total"]) for _ in range(3)]
    average = losses[0]
    for loss in losses[1:]:
        average = 0.9 * average + 0.1 * loss
    assert float(trainer.strengths["d"].numpy()) == pytest.approx(average, rel=1e-5)


def test_freezing_and_growing_go_on_in_a_resumed_run(tiny_config, tmp_path):
    """As graphs, through every stage; the cut lies within the fade, where the discriminator is frozen."""
    config = replace(
        tiny_config,
        image_size=64,
        progressive_start=32,
        progressive_epochs=2,
        discriminator_pretrain_epochs=1,
        pretrain_epochs=1,
        epochs=4,
        steps_per_epoch=2,
        freeze_threshold=1e6,
    )
    whole = train(replace(config, run_dir=str(tmp_path / "whole")))
    train(replace(config, max_steps=5))
    resumed = train(replace(config, resume=True))
    assert resumed.logs == whole.logs and whole.logs["frozen/d"] == 1
    state = np.load(resumed.run_dir / "checkpoints/step-00000008/state.npz")
    assert float(state["strength/d"]) > 0


@pytest.mark.parametrize("penalty", ["wgan_gp", "r1"])
def test_a_penalty_alone_brings_itself_down(tiny_config, make_trainer, batch, penalty):
    """With weights that make everything else negligible, the discriminator learns what the penalty asks for."""
    config = replace(
        tiny_config,
        gradient_penalty=penalty,
        penalty_weight=100.0,
        discriminator_weight=1e-6,
        discriminator_lr=1e-2,
        generator_lr=0.0,
        clip_norm=0.0,
    )
    trainer = make_trainer(config)
    trainer.discriminator = Critic()
    trainer.discriminator.build((1, 32, 32, 3))
    trainer.compile(optimizer=lambda side: keras.optimizers.Adam(1e-2))
    found = [float(trainer.train_step(batch)["loss/d/penalty"]) for _ in range(20)]
    assert found[-1] < 0.9 * found[0]


class Critic(keras.Model):
    """One convolution without spectral norm, whose gradient the penalty can change."""

    inputs_shape: dict = {}

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(1, 3, padding="same", kernel_initializer=keras.initializers.Constant(2.0))

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.built = True

    def call(self, image, training=False):
        return self.conv(image)


def test_the_penalty_draws_by_seed_and_step(tiny_config, make_trainer, batch):
    config = replace(
        tiny_config, gradient_penalty="wgan_gp", penalty_weight=1.0, discriminator_lr=0.0, generator_lr=0.0
    )
    first, second = (make_trainer(config) for _ in range(2))
    logs = [[float(t.train_step(batch)["loss/d/penalty"]) for _ in range(2)] for t in (first, second)]
    assert logs[0] == logs[1] and logs[0][0] != logs[0][1]


def test_every_update_of_a_step_draws_its_own_mix(tiny_config, make_trainer, batch, monkeypatch):
    config = replace(tiny_config, gradient_penalty="wgan_gp", penalty_weight=1.0, discriminator_steps=2)
    drawn = []
    monkeypatch.setitem(penalties.GRADIENT_PENALTIES, "wgan_gp", lambda _, **given: drawn.append(given["mix"]) or 0.0)
    trainer = make_trainer(config)
    for _ in range(2):
        trainer.train_step(batch)
    assert len({float(np.ravel(mix)[0]) for mix in drawn}) == len(drawn) == 4


@pytest.mark.parametrize(("loss", "penalty"), list(itertools.product(LOSSES, PENALTIES)))
def test_losses_and_penalties_combine_freely(tiny_config, make_trainer, batch, loss, penalty):
    weight = 0.0 if penalty == "none" else 10.0
    config = replace(tiny_config, adversarial_loss=loss, gradient_penalty=penalty, penalty_weight=weight)
    logs = make_trainer(config).train_step(batch)
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert ("loss/d/penalty" in logs) == (penalty != "none")


# Each generator with one combination, so that all are met; the discriminator is the generator's own where it has one.
_PAIRS = list(zip(GENERATORS, itertools.cycle(itertools.product(LOSSES, ("wgan_gp", "r1")))))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "combination"), [p for p in _PAIRS if p[0] != "animeganv3"], ids=lambda x: str(x))
def test_every_generator_takes_any_loss_and_penalty(tiny_config, make_trainer, batch, name, combination):
    loss, penalty = combination
    own = {"dcgan": "dcgan_critic"}.get(name, name if name in DISCRIMINATORS else "animeganv2")
    config = replace(
        tiny_config,
        generator=name,
        discriminator=own,
        classes=("a", "b"),
        adversarial_loss=loss,
        gradient_penalty=penalty,
        penalty_weight=1.0,
    )
    trainer = make_trainer(config)
    streams = {"label": np.eye(2, dtype="float32"), "noise": np.zeros((2, 16), "float32")}
    logs = trainer.train_step(batch | streams)
    assert all(np.isfinite(float(value)) for value in logs.values()) and "loss/d/penalty" in logs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient_penalty": "r1"}, "--gradient_penalty=r1 and --penalty_weight=0: set both or neither"),
        ({"penalty_weight": 1.0}, "--gradient_penalty=none and --penalty_weight=1"),
        ({"progressive_start": 48}, "--progressive_start=48 must be a multiple of 32"),
        ({"progressive_start": 96, "image_size": 128}, "--progressive_start=96 must be"),
        ({"progressive_start": 64, "image_size": 32}, "--progressive_start=64 must be"),
        ({"discriminator_pretrain_epochs": 2}, "--discriminator_pretrain_epochs and --pretrain_epochs=3 must not be"),
        ({"gram_layer_weights": ("1", "2")}, "--gram_layer_weights has 2 weights for 1 layers"),
        ({"gram_layer_weights": ("x",)}, "--gram_layer_weights=x must be numbers"),
        ({"gram_layer_weights": ("-1",)}, "--gram_layer_weights=-1: numbers must be 0 or more"),
        ({"revision_denoise": ("1",)}, "--revision_denoise needs four whole numbers"),
        ({"perceptual_weight": 1.0}, "--perceptual_weight needs --perceptual_layers"),
        ({"freeze_threshold": 0.1, "adversarial_loss": "wgan"}, "--freeze_threshold does not go with"),
        (
            {"image_size": 128, "progressive_start": 32, "progressive_epochs": 1},
            "--progressive_start=32 takes 2 epochs to reach --image_size=128: --epochs=2 must be more",
        ),
        ({"main_adversarial_weight": 1.0}, "--main_adversarial_weight and --main_discriminator_weight: set both"),
        (
            {"gradient_penalty": "r1", "penalty_weight": 1.0, "adversarial_weight": 0.0},
            "--gradient_penalty needs --adversarial_weight",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence(tiny_config, change, message):
    with pytest.raises(ConfigError, match=message):
        replace(tiny_config, **change)
