"""The term on borders: its pictures, its value by hand, its gradient, and that a network learns its border from it."""

from dataclasses import replace

import numpy as np
import pytest
from keras import ops

from animegan_tf.errors import ConfigError
from animegan_tf.training import border
from animegan_tf.training.build import build_trainer


@pytest.fixture
def photos(rng):
    return rng.uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)


def test_the_first_is_of_one_colour_and_the_others_are_middles(photos):
    found = np.asarray(border.cut_borders(photos, np.array([0.5, 0.95, 0.3], np.float32)))
    assert found.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(found[0], np.broadcast_to([0.0, 1.0, -0.5], (16, 16, 3)), atol=1e-6)
    np.testing.assert_array_equal(found[1:], photos[1:, 8:24, 8:24])


def test_the_value_by_hand(photos, rng):
    found = rng.uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    flat = np.abs(found[0] - found[0, 4:12, 4:12].mean((0, 1)))
    others = np.abs(found[1:] - photos[1:, 8:24, 8:24])
    expected = (flat.sum() + others.sum()) / found.size
    assert float(border.border_difference(found, photos)) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_goes_into_what_is_wanted(photos, rng):
    tf = pytest.importorskip("tensorflow")
    found, stylized = (tf.Variable(part) for part in (photos[:, 8:24, 8:24] + 0.1, photos))
    with tf.GradientTape() as tape:
        difference = border.border_difference(found, stylized)
    of_found, of_stylized = tape.gradient(difference, [found, stylized])
    assert of_stylized is None
    # A one-coloured picture's own middle is what is wanted of it: as given, too.
    np.testing.assert_allclose(np.abs(of_found), 1 / found.numpy().size, rtol=1e-4)


def test_a_step_reports_the_term_with_its_weight(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, border_weight=3.0, generator_lr=0.0))
    trainer.set_phase(replace(trainer.phase, norms_frozen=True))
    stylized = trainer.generator(batch["photo"], training=False)
    cut = border.cut_borders(batch["photo"], trainer._draws(3))
    expected = border.border_difference(trainer.generator(cut, training=False), stylized)
    assert float(trainer.train_step(batch)["loss/g/border"]) == pytest.approx(3.0 * float(expected), rel=1e-4)
    assert float(expected) > 0
    assert "loss/g/border" not in make_trainer(tiny_config).train_step(batch)


def test_a_border_is_learned(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, border_weight=100.0, generator_lr=0.01, pretrain_epochs=0))
    reported = [float(trainer.train_step(batch)["loss/g/border"]) for _ in range(50)]
    assert np.mean(reported[-15:]) < 0.6 * np.mean(reported[:5])


def test_a_single_picture_and_image_wide_norms_are_refused(tiny_config):
    with pytest.raises(ConfigError, match="--border_weight needs --batch_size of 2 or more"):
        replace(tiny_config, border_weight=1.0, batch_size=1)
    with pytest.raises(ConfigError, match="--border_weight is for a generator that sees only what is near; animegan"):
        build_trainer(
            replace(tiny_config, border_weight=1.0, generator="animegan", discriminator="animegan"), None, None
        )


def test_draws_are_new_every_step(tiny_config, make_trainer, batch):
    trainer = make_trainer(replace(tiny_config, border_weight=1.0))
    first = ops.convert_to_numpy(trainer._draws(3)).ravel()
    trainer.train_step(batch)
    assert len(set(first) | set(ops.convert_to_numpy(trainer._draws(3)).ravel())) == 6
