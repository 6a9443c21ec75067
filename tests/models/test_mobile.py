"""The mobile networks: attention and blocks by hand, what a pixel depends on, and the discriminator's two scales."""

import keras
import numpy as np
import pytest

from animegan_tf.errors import UnknownNameError
from animegan_tf.models import build_discriminator, build_generator
from animegan_tf.models.mobile import InvertedResidual, MobileGenerator, SpatialAttention


def _trained(network) -> int:
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_parameters():
    assert _trained(build_generator("mobile")) == 602_005
    assert _trained(build_generator("mobile", upsampling="transpose")) == 673_685
    assert _trained(build_discriminator("mobile")) == 2_760_290


def _attended(x, kernel, bias):
    """Returns x times its attention, in NumPy."""
    pooled = np.stack([x.mean(-1), x.max(-1)], axis=-1)
    padded = np.pad(pooled, ((0, 0), (3, 3), (3, 3), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    logits = np.einsum("bhwcij,ijc->bhw", windows, kernel[..., 0]) + bias
    return x / (1 + np.exp(-logits))[..., None]


def test_spatial_attention_equals_its_definition(rng):
    x = rng.normal(size=(2, 9, 8, 5)).astype("float32")
    layer = SpatialAttention()
    layer.build(x.shape)
    kernel, bias = rng.normal(0, 0.3, (7, 7, 2, 1)), rng.normal(size=1)
    layer.set_weights([kernel, bias])
    for training in (False, True):  # which take the maximum in two ways
        np.testing.assert_allclose(layer(x, training=training), _attended(x, kernel, bias), atol=1e-5)


def test_spectral_attention_divides_its_kernel_by_its_norm(rng):
    """A convolution of one filter has one singular value: the length of its kernel."""
    x = rng.normal(size=(1, 8, 8, 4)).astype("float32")
    layer = SpatialAttention(spectral=True)
    found = layer(x, training=True)
    kernel = layer.conv.kernel.numpy()
    np.testing.assert_allclose(found, _attended(x, kernel / np.linalg.norm(kernel), 0), atol=1e-5)


def test_attention_comes_before_the_sum(rng):
    x = rng.normal(size=(1, 6, 6, 4)).astype("float32")
    plain, attending = InvertedResidual(), InvertedResidual(attention=True)
    for block in (plain, attending):
        block.build(x.shape)
    # An attention of zeros is sigmoid(0) everywhere.
    attending.set_weights([*plain.get_weights(), np.zeros((7, 7, 2, 1)), np.zeros(1)])
    np.testing.assert_allclose(attending(x) - x, (plain(x) - x) / 2, atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("fast", 96), ("mobile", 256)])
def test_a_pixel_depends_on_its_neighbourhood(rng, name, size):
    """Batch norm only: a change in one corner does not reach the other (no image-wide statistics)."""
    network = build_generator(name, 8)
    photo = rng.uniform(-1, 1, (1, size, size, 3)).astype("float32")
    changed = photo.copy()
    changed[:, :8, :8] = 1.0
    before, after = (np.asarray(network(p, training=False)) for p in (photo, changed))
    far = 8 + network.receptive_radius
    np.testing.assert_array_equal(before[:, far:, far:], after[:, far:, far:])
    assert np.abs(before - after).max() > 1e-3


@pytest.mark.parametrize(("name", "upsampling"), [("fast", ""), ("mobile", "resize"), ("mobile", "transpose")])
def test_the_margin_takes_the_frame_of_zero_padding(rng, name, upsampling):
    """Within the margin a picture's border is computed as if the picture went on."""
    network = build_generator(name, upsampling=upsampling)
    margin, size = network.margin, 2 * network.margin + 48
    whole = rng.uniform(-1, 1, (1, size + 64, size + 64, 3)).astype("float32")
    inner, outer = slice(margin, size - margin), slice(32 + margin, 32 + size - margin)
    found = np.asarray(network(whole[:, 32 : 32 + size, 32 : 32 + size], training=False))[:, inner, inner]
    expected = np.asarray(network(whole, training=False))[:, outer, outer]
    # Zero padding reaches further than the margin, but what is left of it there is below a level.
    assert np.abs(found - expected).max() < 1 / 127.5


@pytest.mark.parametrize(("upsampling", "even"), [("resize", True), ("transpose", False)])
def test_only_transposed_convolutions_draw_a_checkerboard(upsampling, even):
    network = build_generator("mobile", 4, upsampling=upsampling)
    stylized = np.asarray(network(np.full((1, 256, 256, 3), 0.5, "float32")))
    assert (np.ptp(stylized[:, 124:132, 124:132], axis=(1, 2)).max() < 1e-5) == even


def test_the_upsampling_is_kept_and_checked():
    network = build_generator("mobile", 4, upsampling="transpose")
    again = MobileGenerator.from_config(network.get_config())
    again.build((1, 64, 64, 3))
    assert [v.shape for v in again.variables] == [v.shape for v in network.variables]
    assert isinstance(again.decoder[0], keras.layers.Conv2DTranspose)
    with pytest.raises(UnknownNameError, match="Unknown upsampling 'transposed': known are resize, transpose"):
        build_generator("mobile", 4, upsampling="transposed")


def test_the_discriminator_sees_two_scales(rng):
    network = build_discriminator("mobile", 4)
    image = rng.uniform(-1, 1, (2, 256, 256, 3)).astype("float32")
    full, half = (np.asarray(logits) for logits in network(image))
    assert full.shape == (2, 16, 16, 1) and half.shape == (2, 8, 8, 1)
    smaller = image.reshape(2, 128, 2, 128, 2, 3).mean((2, 4))
    np.testing.assert_allclose(network(smaller)[0], half, atol=1e-6)
    assert np.ptp(full) > 0


def test_the_discriminator_has_spectral_norm_on_every_convolution_and_no_other():
    network = build_discriminator("mobile", 4)
    assert sorted(v.path.rsplit("/")[-1] for v in network.variables) == ["kernel"] * 6 + ["u"] * 6
