"""One training step: what changes, what does not, and in which direction."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from animegan_tf.errors import ConfigError
from animegan_tf.training.phases import LearningRate, Phase, Plan, make_plan
from animegan_tf.training.trainer import check_variables


def _values(network):
    return [v.numpy().copy() for v in network.variables]


def _changed(network, before):
    return any((v.numpy() != old).any() for v, old in zip(network.variables, before, strict=True))


def test_a_full_step_changes_both_networks_and_adds_up(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    before = _values(trainer.generator), _values(trainer.discriminator)
    logs = {name: float(value) for name, value in trainer.train_step(batch).items()}
    assert _changed(trainer.generator, before[0]) and _changed(trainer.discriminator, before[1])
    for side in "gd":
        terms = [v for name, v in logs.items() if name.startswith(f"loss/{side}/") and not name.endswith("total")]
        assert sum(terms) == pytest.approx(logs[f"loss/{side}/total"], rel=1e-4)
    assert set(logs) >= {"loss/g/content", "loss/g/adversarial", "loss/d/anime", "loss/d/smooth"}
    assert int(trainer.step.numpy()) == 1


def test_pretraining_changes_the_generator_only(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    trainer.set_phase(Phase("pretrain", 0, 4))
    before = _values(trainer.generator), _values(trainer.discriminator)
    logs = trainer.train_step(batch)
    assert set(logs) == {"loss/g/content", "loss/g/total", "stylized/mean"}
    assert _changed(trainer.generator, before[0]) and not _changed(trainer.discriminator, before[1])


def test_the_discriminator_update_changes_the_discriminator_only(tiny_config, make_trainer, batch):
    trainer = make_trainer(tiny_config)
    before = _values(trainer.generator), _values(trainer.discriminator)
    trainer._update_discriminator(batch, batch["photo"])
    assert not _changed(trainer.generator, before[0]) and _changed(trainer.discriminator, before[1])


def test_the_generator_update_leaves_the_discriminator(tiny_config, make_trainer, batch):
    """With the discriminator's rate at 0 only its power-iteration vectors move in a step, from its own update."""
    trainer = make_trainer(replace(tiny_config, discriminator_lr=0.0))
    before = [v.numpy().copy() for v in trainer.discriminator.trainable_variables]
    trainer.train_step(batch)
    for variable, old in zip(trainer.discriminator.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)


def test_content_falls_on_a_fixed_batch(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, pretrain_lr=1e-2))
    trainer.set_phase(Phase("pretrain", 0, 4))
    losses = [float(trainer.train_step(batch)["loss/g/content"]) for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_discriminator_learns_to_tell_anime_from_the_rest(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, discriminator_lr=1e-3, generator_lr=0.0))
    losses = [float(trainer.train_step(batch)["loss/d/total"]) for _ in range(15)]
    assert losses[-1] < 0.9 * losses[0]


def test_several_discriminator_steps_each_with_their_own_pictures(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, discriminator_steps=2, discriminator_lr=0.0))
    seen = []
    pictures = trainer.objective.discriminator_pictures
    trainer.objective.discriminator_pictures = lambda chunk, g: seen.append(chunk["anime"]) or pictures(chunk, g)
    trainer.train_step(batch)
    np.testing.assert_array_equal(np.concatenate(seen), batch["anime"])
    assert int(trainer.discriminator_optimizer.iterations.numpy()) == 2
    assert int(trainer.generator_optimizer.iterations.numpy()) == 1


def test_the_average_follows_by_its_formula(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, ema_decay=0.9))
    before = _values(trainer.averaged)
    trainer.train_step(batch)
    decay = min(0.9, 1 / 10)
    for average, old, new in zip(trainer.averaged.variables, before, trainer.generator.variables, strict=True):
        np.testing.assert_allclose(average.numpy(), decay * old + (1 - decay) * new.numpy(), atol=1e-6)
    assert trainer.best_generator is trainer.averaged


def test_without_an_adversarial_term_there_is_no_discriminator(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, adversarial_weight=0.0))
    wanted = {f"loss/g/{term}" for term in ("content", "gram", "color", "tv", "total")}
    assert set(trainer.train_step(batch)) == wanted | {"stylized/mean"}


def test_a_shared_variable_is_refused(tiny_config, make_trainer):
    trainer = make_trainer(tiny_config)
    check_variables(trainer.generator, trainer.discriminator)
    with pytest.raises(ValueError, match="variables belong to both"):
        check_variables(trainer.generator, trainer.generator)


@pytest.mark.parametrize("loss", ["hinge", "vanilla", "wgan"])
def test_every_adversarial_loss_trains(tiny_config, make_trainer, batch, loss):
    logs = make_trainer(replace(tiny_config, adversarial_loss=loss)).train_step(batch)
    assert all(np.isfinite(float(value)) for value in logs.values())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_float32_weights(tiny_config, make_trainer, batch, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        trainer = make_trainer(replace(tiny_config, precision=policy))
        before = _values(trainer.generator)
        # float16 starts with too large a loss scale and skips steps until it fits.
        for _ in range(15):
            logs = trainer.train_step(batch)
            if _changed(trainer.generator, before):
                break
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert _changed(trainer.generator, before)
    assert {v.dtype for v in trainer.generator.variables} == {"float32"}
    scaled = isinstance(trainer.generator_optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


def test_clipping_bounds_the_first_update(tiny_config, make_trainer, batch):
    """SGD-like check on Adam's moments: m after one step is (1 - beta_1) times the clipped gradient."""
    trainer = make_trainer(replace(tiny_config, clip_norm=1e-3))
    trainer.train_step(batch)
    moments = [v.numpy() for v in trainer.generator_optimizer.variables if "momentum" in v.path]
    norm = np.sqrt(sum((m**2).sum() for m in moments)) / (1 - tiny_config.beta_1)
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_the_rate_follows_the_run_and_not_the_optimizers_count(tiny_config, make_trainer):
    """Loss scaling skips updates: the optimizer then counts fewer steps than the run."""
    trainer = make_trainer(replace(tiny_config, pretrain_lr=0.5, generator_lr=0.25))
    assert float(trainer.generator_optimizer.learning_rate) == 0.5
    trainer.step.assign(4)
    assert float(trainer.generator_optimizer.learning_rate) == 0.25
    assert int(trainer.generator_optimizer.iterations.numpy()) == 0


def test_learning_rates_by_phase():
    rate = LearningRate(1.0, 9.0, pretrain_steps=10, total_steps=30, schedule="cosine")
    found = [float(rate(step)) for step in (0, 9, 10, 20, 30)]
    np.testing.assert_allclose(found, [9, 9, 1, 0.5, 0], atol=1e-6)
    stages = LearningRate(1.0, 9.0, pretrain_steps=10, total_steps=30, schedule="cosine_stages")
    found = [float(stages(step)) for step in (0, 5, 9.9999, 10, 20, 30)]
    np.testing.assert_allclose(found, [9, 4.5, 0, 1, 0.5, 0], atol=1e-5)
    flat = LearningRate(2.0, 9.0, pretrain_steps=0, total_steps=30, schedule="constant")
    assert float(flat(29)) == 2.0


def test_only_the_generator_has_a_pre_training_whose_rate_falls(tiny_config, make_trainer):
    config = replace(tiny_config, lr_schedule="cosine_stages", pretrain_lr=0.5, discriminator_lr=0.25)
    trainer = make_trainer(config)
    trainer.step.assign(2)  # of the four steps of pre-training
    assert float(trainer.generator_optimizer.learning_rate) == pytest.approx(0.25)
    assert float(trainer.discriminator_optimizer.learning_rate) == pytest.approx(0.25)


def test_phases_by_hand(tiny_config):
    plan = make_plan(replace(tiny_config, steps_per_epoch=0, epochs=5, pretrain_epochs=2), data_steps=7)
    assert plan == Plan(7, 0, 14, 35, 35, fade_steps=4)
    assert plan.phases_from(0) == [Phase("pretrain", 0, 14), Phase("train", 14, 35)]
    assert plan.phases_from(20) == [Phase("train", 20, 35)]
    short = make_plan(replace(tiny_config, epochs=5, pretrain_epochs=2, max_steps=6), data_steps=7)
    assert short.phases_from(3) == [Phase("pretrain", 3, 6)]
    assert short.phases_from(6) == []


def test_norms_are_frozen_over_the_last_epochs(tiny_config):
    config = replace(tiny_config, epochs=5, pretrain_epochs=1, frozen_norm_epochs=2, steps_per_epoch=7)
    plan = make_plan(config, data_steps=1)
    frozen = Phase("train", 21, 35, norms_frozen=True)
    assert plan.phases_from(0) == [Phase("pretrain", 0, 7), Phase("train", 7, 21), frozen]
    assert plan.phases_from(30) == [replace(frozen, first=30)]
    early = make_plan(replace(config, pretrain_epochs=3, frozen_norm_epochs=4), data_steps=1).phases_from(0)
    assert [(phase.stage, phase.first, phase.norms_frozen) for phase in early] == [
        ("pretrain", 0, False),
        ("pretrain", 7, True),
        ("train", 21, True),
    ]
    with pytest.raises(ConfigError, match="--frozen_norm_epochs=5 must leave"):
        replace(config, frozen_norm_epochs=5)


def test_frozen_norms_keep_their_statistics_while_weights_learn(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, generator="fast", generator_width=6))
    trainer.train_step(batch)
    statistics = [v for v in trainer.generator.variables if "moving" in v.path]
    before, weights = [v.numpy().copy() for v in statistics], _values(trainer.generator)
    trainer.set_phase(Phase("train", 1, 4, norms_frozen=True))
    expected = float(np.mean(trainer.generator(batch["photo"], training=False)))
    logs = trainer.train_step(batch)
    assert len(statistics) > 10 and _changed(trainer.generator, weights)
    for variable, old in zip(statistics, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    assert float(logs["stylized/mean"]) == pytest.approx(expected, abs=1e-5)


def test_stages_and_sizes_lie_over_each_other(tiny_config):
    config = replace(
        tiny_config,
        image_size=128,
        progressive_start=32,
        progressive_epochs=2,
        progressive_fade=0.25,
        discriminator_pretrain_epochs=1,
        pretrain_epochs=2,
        epochs=6,
        steps_per_epoch=10,
    )
    assert make_plan(config, 1).phases_from(0) == [
        Phase("discriminator", 0, 10, 4),
        Phase("pretrain", 10, 20, 4),
        Phase("pretrain", 20, 30, 2, 20, 5),
        Phase("train", 30, 40, 2, 20, 5),
        Phase("train", 40, 60, 1, 40, 5),
    ]
    assert make_plan(config, 1).phases_from(45) == [Phase("train", 45, 60, 1, 40, 5)]


def test_the_end_of_a_phase_does_not_wait_for_the_thread_that_tunes_tf_data(tiny_config, make_trainer, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    trainer, given = make_trainer(tiny_config), []
    monkeypatch.setattr(trainer, "fit", lambda data, **_: given.append(data))
    trainer.learn(tf.data.Dataset.range(3), 2, [])
    assert given[0].options().autotune.enabled is False
    assert list(given[0].as_numpy_iterator()) == [0, 1, 2]
