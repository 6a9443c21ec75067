"""Adversarial losses by hand on the logits (-1, 0, 3)."""

import numpy as np
import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.losses.adversarial import ADVERSARIAL_LOSSES, least_squares

LOGITS = np.array([-1.0, 0.0, 3.0], "float32")
SOFTPLUS = np.log1p(np.exp(LOGITS))
SOFTPLUS_NEGATIVE = np.log1p(np.exp(-LOGITS))


@pytest.mark.parametrize(
    ("name", "real", "fake", "generator"),
    [
        ("lsgan", (4 + 1 + 4) / 3, (1 + 0 + 9) / 3, (4 + 1 + 4) / 3),
        ("lsgan_soft", (3.61 + 0.81 + 4.41) / 3, (1.21 + 0.01 + 8.41) / 3, (3.61 + 0.81 + 4.41) / 3),
        ("hinge", (2 + 1 + 0) / 3, (0 + 1 + 4) / 3, -2 / 3),
        ("vanilla", SOFTPLUS_NEGATIVE.mean(), SOFTPLUS.mean(), SOFTPLUS_NEGATIVE.mean()),
        ("wgan", -2 / 3, 2 / 3, -2 / 3),
    ],
)
def test_values(name, real, fake, generator):
    loss = ADVERSARIAL_LOSSES[name]
    found = [float(part(LOGITS)) for part in (loss.real, loss.fake, loss.generator)]
    np.testing.assert_allclose(found, [real, fake, generator], rtol=1e-6)


def test_least_squares_has_any_target():
    np.testing.assert_allclose(least_squares(LOGITS, 2.0), (9 + 4 + 1) / 3, rtol=1e-6)


def test_the_flag_offers_what_exists():
    field = TrainConfig.__dataclass_fields__["adversarial_loss"]
    assert set(field.metadata["choices"]) == set(ADVERSARIAL_LOSSES)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_the_generator_wants_higher_logits(name):
    loss = ADVERSARIAL_LOSSES[name]
    low, high = np.full((4,), -0.5, "float32"), np.full((4,), 0.5, "float32")
    assert float(loss.generator(high)) < float(loss.generator(low))
    assert float(loss.real(high)) < float(loss.real(low))
    assert float(loss.fake(low)) < float(loss.fake(high)) or name.startswith("lsgan")
