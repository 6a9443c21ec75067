"""Multiply-accumulates against counts by hand."""

import dataclasses
import functools

import numpy as np
import pytest

from animegan_tf.benchmark.macs import StepMacs, count_generator, count_ops, count_step
from animegan_tf.errors import ConfigError
from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training.objective import Objective, feature_names
from animegan_tf.training.trainer import Trainer

SIDE, WIDTH, BATCH = 32, 4, 2


def _conv(side: int, kernel: int, channels: int, filters: int) -> int:
    """Returns what a convolution to side x side pixels takes."""
    return side * side * kernel * kernel * channels * filters


def _depthwise(side: int, channels: int) -> int:
    return side * side * 9 * channels


# The first convolution of each network is apart: its input needs no gradient where that is the photo.
GENERATOR_FIRST = _conv(32, 7, 3, 4)
GENERATOR_REST = sum(
    [
        _conv(16, 3, 4, 8) + _conv(16, 3, 8, 8),  # a
        _conv(8, 3, 8, 16) + _conv(8, 3, 16, 16),  # b
        _conv(8, 3, 16, 16),  # c: then four inverted residuals, 1x1, depthwise, 1x1
        _conv(8, 1, 16, 32) + _depthwise(8, 32) + _conv(8, 1, 32, 32),
        3 * (_conv(8, 1, 32, 64) + _depthwise(8, 64) + _conv(8, 1, 64, 32)),
        _conv(8, 3, 32, 16),
        2 * _conv(16, 3, 16, 16),  # d, doubled
        _conv(32, 3, 16, 8) + _conv(32, 3, 8, 8) + _conv(32, 7, 8, 4),  # e, doubled
        _conv(32, 1, 4, 3),
    ]
)
DISCRIMINATOR_FIRST = _conv(32, 3, 3, 4)
DISCRIMINATOR_REST = sum(
    [
        _conv(16, 3, 4, 8) + _conv(16, 3, 8, 16),
        _conv(8, 3, 16, 16) + _conv(8, 3, 16, 32) + _conv(8, 3, 32, 32),
        _conv(8, 3, 32, 1),
    ]
)
VGG19 = sum(
    [
        _conv(32, 3, 3, 64) + _conv(32, 3, 64, 64),
        _conv(16, 3, 64, 128) + _conv(16, 3, 128, 128),
        _conv(8, 3, 128, 256) + 3 * _conv(8, 3, 256, 256),  # to block3_conv4
    ]
)


@functools.cache
def _networks():
    return build_generator("animeganv2", WIDTH), build_discriminator("animeganv2", WIDTH)


def _trainer(**changes) -> Trainer:
    recipe = read_flagfile(list_recipes()["smoke"])
    config = dataclasses.replace(recipe, image_size=SIDE, generator_width=WIDTH, discriminator_width=WIDTH, **changes)
    generator, discriminator = _networks()
    return Trainer(
        generator=generator,
        discriminator=discriminator if config.adversarial else None,
        objective=Objective(config, build_vgg19(feature_names(config), "random")),
    )


@pytest.fixture(scope="module")
def counted() -> StepMacs:
    return count_step(_trainer(), BATCH)


def test_the_generator_is_run_and_gets_the_gradient_of_its_kernels(counted):
    # The first layer: forwards, kernel. All others: forwards, kernel, input.
    assert counted.generator == BATCH * (2 * GENERATOR_FIRST + 3 * GENERATOR_REST)


def test_the_discriminator_learns_from_four_kinds_and_judges_one(counted):
    assert counted.discriminator == 4 * BATCH * (2 * DISCRIMINATOR_FIRST + 3 * DISCRIMINATOR_REST)
    # No kernel learns here: forwards, input, the first layer's included.
    assert counted.verdict == 2 * BATCH * (DISCRIMINATOR_FIRST + DISCRIMINATOR_REST)


def test_vgg19_is_run_on_photo_and_style_and_back_to_the_stylized_picture(counted):
    assert counted.targets == 2 * BATCH * VGG19
    assert counted.features == 2 * BATCH * VGG19
    assert counted.total == sum(
        [counted.generator, counted.discriminator, counted.verdict, counted.targets, counted.features]
    )


def test_what_a_recipe_does_not_use_is_not_counted():
    alone = count_step(_trainer(adversarial_weight=0, gram_weight=0), 1)
    assert (alone.discriminator, alone.verdict, alone.targets) == (0, 0, VGG19)
    fewer = count_step(
        _trainer(discriminator_smooth_weight=0.0, gram_weight=0.0, content_weight=0, pretrain_epochs=0), 1
    )
    assert fewer.discriminator == 3 * (2 * DISCRIMINATOR_FIRST + 3 * DISCRIMINATOR_REST)
    assert (fewer.targets, fewer.features) == (0, 0)


@pytest.mark.parametrize("changes", [{"discriminator_steps": 2}, {"gradient_penalty": "r1", "penalty_weight": 1.0}])
def test_steps_that_cannot_be_counted_are_one_sentence(changes):
    with pytest.raises(ConfigError, match=r"^--recipe=smoke: the work of a step is counted for generators of a photo"):
        count_step(_trainer(**changes), 1)


def test_a_generator_is_counted_once_forwards():
    assert count_generator(_networks()[0], SIDE) == GENERATOR_FIRST + GENERATOR_REST
    # One that takes more than a photo; its code and its noise go through matrices.
    assert count_generator(build_generator("style_code", WIDTH), SIDE) > 0


def test_matrices_and_transposed_convolutions_are_counted_and_what_leads_nowhere_is_not():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 8, 3])])
    def network(image):
        tf.matmul(tf.ones([50, 50]), tf.ones([50, 50]))  # of no use
        grown = tf.nn.conv2d_transpose(image, tf.ones([4, 4, 5, 3]), [1, 16, 16, 5], 2)
        left = tf.reshape(grown, [256, 5])
        batched = tf.matmul(tf.ones([2, 7, 256]), tf.stack([left, left]))
        return tf.matmul(left, left, transpose_a=True), batched

    outputs = network.get_concrete_function().outputs
    transposed, product, batched = 8 * 8 * 3 * 5 * 16, 5 * 5 * 256, 2 * 7 * 256 * 5
    assert count_ops(outputs) == transposed + product + batched
    assert count_ops(outputs[:1], products=False) == transposed
    assert np.prod(outputs[1].shape) == 2 * 7 * 5
