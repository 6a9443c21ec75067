"""The fast generator: the bands of the photo against NumPy, what its gates do, and what it starts from."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from animegan_tf.models.fast import FastGenerator, Gates, _bands
from animegan_tf.models.layers import chain


def _window_means(x: np.ndarray, side: int) -> np.ndarray:
    """Returns the means over windows of `side`, zeros beyond the border: [H, W, C] -> the same."""
    padded = np.pad(x, ((side // 2,) * 2, (side // 2,) * 2, (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1)).mean((-1, -2))


def _blocks(photo: np.ndarray) -> np.ndarray:
    """Returns [H/2, W/2, 4, 3] of [H, W, 3]: the pixels of each block, row by row."""
    height, width = (side // 2 for side in photo.shape[:2])
    return photo.reshape(height, 2, width, 2, 3).swapaxes(1, 2).reshape(height, width, 4, 3)


def test_bands_are_the_photo_less_its_means(rng):
    photo = rng.uniform(-1, 1, (32, 40, 3)).astype("float32")
    pixels = _blocks(photo)
    block = pixels.mean(2)
    around = _window_means(block, 7)
    smooth, details = (np.asarray(part)[0] for part in _bands(pixels.reshape(1, 16, 20, 12)))
    np.testing.assert_allclose(smooth, around, atol=1e-6)
    fine = (pixels - block[:, :, None]).reshape(16, 20, 12)
    np.testing.assert_allclose(12 * details, np.concatenate([fine, block - around], -1), atol=1e-5)


def test_gates_are_a_convolution_shared_out(rng):
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    gates = Gates([[1, 1, 0], [0, 0.5, 2]])
    np.testing.assert_allclose(gates(x), np.broadcast_to(5.4 * np.array([1, 1.5, 2]), (2, 3, 4, 3)), rtol=1e-6)
    kernel = rng.normal(size=(1, 1, 5, 2)).astype("float32")
    gates.kernel.assign(kernel)
    first, second = np.moveaxis(x @ kernel[0, 0] + 5.4, -1, 0)
    np.testing.assert_allclose(gates(x), np.stack([first, first + 0.5 * second, 2 * second], -1), rtol=1e-4)
    again = Gates.from_config(gates.get_config())
    np.testing.assert_array_equal(again.shares, gates.shares)


def test_training_starts_from_the_photo_with_ink_on_the_dark_sides_of_its_edges(rng):
    photo = rng.uniform(-1, 1, (1, 32, 40, 3)).astype("float32")
    generator = FastGenerator(6)
    before = np.asarray(generator(photo))
    kernel = np.asarray(generator.to_rgb.kernel)
    # What the maps add is the same for the four pixels of a block.
    added = kernel[:, :, :-22]
    np.testing.assert_array_equal(added, np.concatenate([added[..., :3]] * 4, axis=-1))
    assert np.abs(before - photo).mean() < 0.5
    _silence(generator)
    ink = np.asarray(chain(keras.ops.space_to_depth(photo, 2), generator.ink))
    inked = photo - 0.4 * 0.9 * np.asarray(keras.ops.depth_to_space(ink, 2))
    np.testing.assert_allclose(generator(photo), np.clip(inked, -1, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("opened", "kept"),
    [
        ([1, 0, 0, 0, 0], lambda p, block, around: np.where(np.arange(4)[:, None] == 0, p - block + around, around)),
        ([0, 0, 0, 0, 1], lambda p, block, around: block + 0 * p),
        ([0, 0, 0, 0, 0], lambda p, block, around: around + 0 * p),
    ],
)
def test_a_gate_lets_its_detail_through_and_no_other(rng, opened, kept):
    photo = rng.uniform(-0.3, 0.3, (32, 40, 3)).astype("float32")
    generator = FastGenerator(6)
    generator(photo[None])
    _silence(generator)
    generator.ink[0].bias.assign([-1e3] * 4)
    generator.gates_of_details[0].bias.assign(5.4 * np.array(opened, "float32"))
    pixels = _blocks(photo)
    block = pixels.mean(2, keepdims=True)
    around = _window_means(block[:, :, 0], 7)[:, :, None]
    np.testing.assert_allclose(_blocks(np.asarray(generator(photo[None]))[0]), kept(pixels, block, around), atol=1e-5)


def test_ink_lies_on_the_dark_side_of_edges_at_the_resolution_of_the_photo(rng):
    cv2 = pytest.importorskip("cv2")
    photo = np.full((64, 80, 3), (150, 120, 90), np.float32)
    photo[20:50, 31:60] = (40, 80, 60)  # bounds at even and odd places
    photo += rng.normal(0, 0.7, photo.shape)
    generator = FastGenerator(6)
    generator(photo[None] / 127.5 - 1)
    blocks = keras.ops.space_to_depth(photo[None] / 127.5 - 1, 2)
    ink = np.asarray(keras.ops.depth_to_space(chain(blocks, generator.ink), 2))[0, ..., 0]
    luminance = (photo @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    narrow, wide = (cv2.GaussianBlur(luminance, (5, 5), sigma) for sigma in (0.7, 2.0))
    expected = np.clip(0.3 * (0.98 * wide - narrow - 0.6), 0, 1)
    inner = slice(8, -8)
    np.testing.assert_allclose(ink[inner, inner], expected[inner, inner], atol=1e-3)
    assert ink[35, 32] > 0.3 and ink[35, 30] == 0 and ink[30:40, 36:54].max() == 0


@pytest.mark.parametrize("pixel", range(4))
def test_a_gate_of_ink_lets_the_ink_of_its_pixel_through(rng, pixel):
    photo = rng.uniform(-1, 1, (1, 32, 40, 3)).astype("float32")
    generator = FastGenerator(6)
    generator(photo)
    _silence(generator)
    kernel = np.array(generator.to_rgb.kernel)
    kernel[1, 1, -22:] = 0
    kernel[1, 1, -7:-3] = np.repeat(np.eye(4), 3, axis=1)  # of ink alone, to the three colours of its pixel
    generator.to_rgb.kernel.assign(kernel)
    generator.gates_of_ink[0].bias.assign(3.0 * (np.arange(4) == pixel))  # half
    ink = np.asarray(chain(keras.ops.space_to_depth(photo, 2), generator.ink))[0]
    found = _blocks(np.asarray(generator(photo))[0])
    expected = 0.5 * ink * (np.arange(4) == pixel)
    np.testing.assert_allclose(found, np.repeat(expected[..., None], 3, axis=-1), atol=1e-5)


def _silence(generator: FastGenerator) -> None:
    """Lets the maps add nothing, so that the photo's bands are all that is left."""
    kernel = np.array(generator.to_rgb.kernel)
    kernel[:, :, :-22] = 0
    generator.to_rgb.kernel.assign(kernel)


def test_size():
    generator = FastGenerator()
    generator.build((None, 64, 64, 3))
    assert sum(int(np.prod(variable.shape)) for variable in generator.trainable_variables) == 163_201
