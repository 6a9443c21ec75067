"""The DCGAN networks: what they are made of, that the photo survives, and what the critic must not have."""

import keras
import numpy as np
import tensorflow as tf

from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.layers import chain


def test_parameters():
    generator, critic = build_generator("dcgan"), build_discriminator("dcgan_critic")
    assert sum(int(np.prod(v.shape)) for v in generator.trainable_variables) == 5_392_195
    assert critic.count_params() == 662_977


def test_weights_are_drawn_as_dcgans():
    keras.utils.set_random_seed(0)
    generator, critic = build_generator("dcgan", 16), build_discriminator("dcgan_critic", 16)
    for variable in (*generator.trainable_variables, *critic.trainable_variables):
        value, mean = variable.numpy(), 1.0 if variable.path.endswith("gamma") else 0.0
        if variable.path.endswith(("kernel", "gamma")):
            np.testing.assert_allclose((value.mean(), value.std()), (mean, 0.02), atol=0.1 * value.size**-0.5 + 5e-4)
        else:
            np.testing.assert_array_equal(value, 0)


def test_the_photo_passes_by_the_decoder(rng):
    """Without the coarser maps the picture is made of the encoder's at half resolution."""
    network = build_generator("dcgan", 4)
    network.up_half[0].kernel.assign(np.zeros(network.up_half[0].kernel.shape))
    photo = rng.uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    stylized = np.asarray(network(photo))
    np.testing.assert_allclose(stylized, np.tanh(network.to_rgb(chain(photo, network.half))), atol=1e-6)
    assert np.ptp(stylized[0] - stylized[1]) > 0


def test_beyond_the_margin_zero_padding_changes_nothing(rng):
    network = build_generator("dcgan", 4)
    whole = rng.uniform(-1, 1, (1, 128, 128, 3)).astype("float32")
    expected = np.asarray(network(whole))[0, 32:96, 32:96]
    found = np.asarray(network(whole[:, 32:96, 32:96]))[0]
    differs = np.abs(found - expected).max(-1) > 1e-7
    margin = network.margin
    assert not differs[margin:-margin, margin:-margin].any() and differs[8:-8, 8:-8].any()


def test_the_critic_scores_each_picture_alone(rng):
    """Gulrajani et al. 2017, section 4: no batch norm, since the penalty is on each picture's own gradient."""
    critic = build_discriminator("dcgan_critic", 4)
    layers = list(critic._flatten_layers(include_self=False))
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in layers)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in layers) == 4
    image = rng.uniform(-1, 1, (2, 64, 48, 3)).astype("float32")
    scores = np.asarray(critic(image, training=True))
    assert scores.shape == (2, 8, 6, 1)
    np.testing.assert_allclose(critic(image[:1], training=True), scores[:1], atol=1e-6)


def test_the_critics_scores_are_not_squashed(rng):
    critic = build_discriminator("dcgan_critic", 4)
    image = rng.uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    scores = np.asarray(critic(image))
    last = critic.blocks[-1]
    last.kernel.assign(1e6 * last.kernel)
    np.testing.assert_allclose(critic(image), 1e6 * scores, rtol=1e-4, atol=1e-4)
    assert np.abs(critic(image)).max() > 1


def test_a_gradient_penalty_reaches_the_critics_weights(rng):
    critic = build_discriminator("dcgan_critic", 4)
    image = tf.constant(rng.uniform(-1, 1, (2, 32, 32, 3)), "float32")
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            inner.watch(image)
            score = tf.reduce_sum(tf.reduce_mean(critic(image), axis=(1, 2, 3)))
        slope = tf.norm(tf.reshape(inner.gradient(score, image), (2, -1)), axis=1)
        penalty = tf.reduce_mean((slope - 1.0) ** 2)
    kernels = [v.value for v in critic.trainable_variables if v.path.endswith("kernel")]
    # The weights are small: the slope is below 1, and larger weights bring it nearer.
    for kernel, gradient in zip(kernels, outer.gradient(penalty, kernels), strict=True):
        assert tf.reduce_sum(kernel * gradient) < 0
