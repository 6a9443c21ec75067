"""What the project takes from Keras, OpenCV and NumPy in place of tensorflow-addons computes the same.

tests/fixtures/addons.npz holds what tensorflow-addons 0.23.0 returned; tools/record_addons.py wrote it and says in
which environment. Tolerances are absolute, for float32 values of size 1 to 5: 5e-6, ten units in the last place, and
2e-5 for rotation, where rounding of the positions comes on top. That leaves other processors room, and is far from
any mistake: a wrong epsilon (1e-3) is off by 3e-4, a wrong kernel, border or sign by 4e-2 and more.
"""

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from animegan_tf.models.layers import InstanceNorm, SpectralConv2D

RECORDED = Path(__file__).parent / "fixtures" / "addons.npz"
LAST_PLACES = 5e-6
ROTATED = 2e-5

# OpenCV 4 looks bilinear weights up in a table with steps of 1/32 pixel; OpenCV 5, which is pinned, computes them.
needs_opencv_5 = pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 samples in 1/32 pixels")


def _recorded(part: str) -> dict[str, np.ndarray]:
    with np.load(RECORDED) as arrays:
        return {name.split("/")[1]: arrays[name] for name in arrays.files if name.startswith(part + "/")}


def _assert_close(actual, expected: np.ndarray, tolerance: float) -> None:
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), expected, rtol=0.0, atol=tolerance)


def test_the_recording_is_of_the_last_addons_release():
    with np.load(RECORDED) as arrays:
        assert {"tensorflow_addons 0.23.0", "tensorflow 2.15.1"} <= set(arrays["versions"].tolist())


@pytest.mark.parametrize(
    "layer",
    [keras.layers.GroupNormalization(groups=-1, epsilon=1e-5), InstanceNorm(epsilon=1e-5)],
    ids=["keras", "ours"],
)
def test_instance_normalization_equals_addons(layer):
    r = _recorded("instance_norm")
    layer.build(r["x"].shape)
    layer.gamma.assign(r["gamma"])
    layer.beta.assign(r["beta"])
    _assert_close(layer(r["x"]), r["output"], LAST_PLACES)


def test_instance_normalization_is_the_formula_in_float64():
    # Guards the recording itself: two libraries may share a mistake, the definition does not.
    r = _recorded("instance_norm")
    x = r["x"].astype(np.float64)
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    _assert_close((x - mean) / np.sqrt(variance + 1e-5) * r["gamma"] + r["beta"], r["output"], LAST_PLACES)


def test_keras_spectral_normalization_equals_addons_in_training_and_inference():
    r = _recorded("spectral_norm")
    conv = keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)
    layer = keras.layers.SpectralNormalization(conv, power_iterations=1)
    layer.build(r["x"].shape)
    conv.kernel.assign(r["kernel"])
    layer.vector_u.assign(r["u"])
    for step, training in (("1", True), ("2", True), ("_inference", False), ("3", True)):
        _assert_close(layer(r["x"], training=training), r["output" + step], LAST_PLACES)
        _assert_close(conv.kernel.numpy(), r["kernel" + step], LAST_PLACES)
        _assert_close(layer.vector_u.numpy(), r["u" + step], LAST_PLACES)


def _spectral_conv(r: dict[str, np.ndarray]) -> SpectralConv2D:
    # 'end' is what Keras calls 'same' for kernel 3, stride 2 and even sides: one zero row below, one column at right.
    layer = SpectralConv2D(5, 3, strides=2, padding="end")
    layer.build(r["x"].shape)
    layer.kernel.assign(r["kernel"])
    layer.u.assign(r["u"])
    return layer


def test_our_spectral_convolution_equals_addons_over_three_steps():
    r = _recorded("spectral_norm")
    layer = _spectral_conv(r)
    for step in "123":
        _assert_close(layer(r["x"], training=True), r["output" + step], LAST_PLACES)
        _assert_close(layer.u.numpy(), r["u" + step], LAST_PLACES)
        # Addons overwrites the kernel with kernel / sigma; ours keeps the trained one. The outputs are equal all the
        # same, because the next sigma is smaller by exactly the factor already divided out. Gradients are not.
        _assert_close(layer.kernel.numpy(), r["kernel"], 0.0)


def test_our_spectral_convolution_is_one_iteration_ahead_of_addons_in_inference():
    # Addons infers with the kernel its last training step left; ours takes the next iteration and does not store it.
    r = _recorded("spectral_norm")
    layer = _spectral_conv(r)
    layer.u.assign(r["u2"])
    _assert_close(layer(r["x"], training=False), r["output3"], LAST_PLACES)
    _assert_close(layer.u.numpy(), r["u2"], 0.0)


def test_gaussian_blur_with_reflect_101_equals_gaussian_filter2d():
    # TensorFlow's REFLECT does not repeat the border pixel: that is REFLECT_101 in OpenCV, not BORDER_REFLECT.
    r = _recorded("gaussian")
    kernel = cv2.getGaussianKernel(5, 1.1)
    for x, expected in zip(r["x"], r["output"], strict=True):
        blurred = cv2.GaussianBlur(x, (5, 5), 1.1, borderType=cv2.BORDER_REFLECT_101)
        _assert_close(blurred, expected, LAST_PLACES)
        separable = cv2.sepFilter2D(x, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
        _assert_close(separable, expected, LAST_PLACES)


def test_gaussian_kernel_of_sigma_zero_is_binomial_and_not_sigma_1_1():
    # A trap: for sigma 0 OpenCV documents 0.3 * ((5 - 1) / 2 - 1) + 0.8 = 1.1, but up to size 7 it returns a table. The
    # edge smoothing of AnimeGAN asks for sigma 0, so it is this kernel and no gaussian_filter2d of sigma 1.1.
    _assert_close(cv2.getGaussianKernel(5, 0).ravel(), np.array([1, 4, 6, 4, 1]) / 16.0, 0.0)
    difference = np.abs(cv2.getGaussianKernel(5, 0) - cv2.getGaussianKernel(5, 1.1)).max()
    assert difference == pytest.approx(0.00827, abs=1e-5)


def _output_to_input(angle: float, height: int, width: int) -> np.ndarray:
    """The 2x3 matrix of a counterclockwise rotation about the centre of the pixel grid, ((W - 1) / 2, (H - 1) / 2)."""
    cos, sin, x, y = np.cos(angle), np.sin(angle), (width - 1) / 2, (height - 1) / 2
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


# Rotation: counterparts of tfa.image.rotate, for the rotation augmentation that is planned. 'reflect' repeats the
# border pixel in TensorFlow's image ops (unlike in tf.pad above), so it is BORDER_REFLECT here, not REFLECT_101.
@needs_opencv_5
@pytest.mark.parametrize(("mode", "border"), [("constant", cv2.BORDER_CONSTANT), ("reflect", cv2.BORDER_REFLECT)])
def test_warp_affine_equals_rotate(mode, border):
    r = _recorded("rotate")
    height, width = r["x"].shape[1:3]
    for x, angle, expected in zip(r["x"], r["angles"].astype(float), r[mode], strict=True):
        matrix = _output_to_input(angle, height, width)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP  # the matrix goes from output to input already
        rotated = cv2.warpAffine(x, matrix, (width, height), flags=flags, borderMode=border)
        _assert_close(rotated, expected, ROTATED)


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_keras_affine_transform_equals_rotate(mode):
    r = _recorded("rotate")
    rows = [_output_to_input(angle, *r["x"].shape[1:3]).ravel() for angle in r["angles"].astype(float)]
    transforms = np.pad(rows, ((0, 0), (0, 2))).astype(np.float32)  # two zeros: no perspective
    rotated = keras.ops.image.affine_transform(r["x"], transforms, interpolation="bilinear", fill_mode=mode)
    _assert_close(rotated, r[mode], ROTATED)


def _sampling_positions(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns read by dense_image_warp: it subtracts the flow, whose first channel is the row."""
    rows, columns = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
    return rows - flow[..., 0], columns - flow[..., 1]


def _bilinear(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Samples [H, W, C] at float positions, which are clamped to the picture."""
    rows, columns = np.clip(rows, 0, image.shape[0] - 1), np.clip(columns, 0, image.shape[1] - 1)
    top, left = rows.astype(int), columns.astype(int)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, along = (rows - top)[..., None], (columns - left)[..., None]
    above = image[top, left] * (1 - along) + image[top, right] * along
    below = image[bottom, left] * (1 - along) + image[bottom, right] * along
    return above * (1 - down) + below * down


# Warping: counterparts of tfa.image.dense_image_warp, for the flow-compensated smoothing of video that is planned.
# The video runtime must not need TensorFlow, and stylizing must not need OpenCV: hence one with and one without.
@needs_opencv_5
def test_remap_equals_dense_image_warp():
    r = _recorded("warp")
    for x, flow, expected in zip(r["x"], r["flow"], r["output"], strict=True):
        rows, columns = _sampling_positions(flow)
        warped = cv2.remap(x, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        _assert_close(warped, expected, LAST_PLACES)


def test_numpy_bilinear_sampling_equals_dense_image_warp():
    r = _recorded("warp")
    for x, flow, expected in zip(r["x"], r["flow"], r["output"], strict=True):
        rows, columns = _sampling_positions(flow)
        outside = (rows < 0) | (columns < 0) | (rows > x.shape[0] - 1) | (columns > x.shape[1] - 1)
        assert outside.any()  # else clamping would go untested
        _assert_close(_bilinear(x, rows, columns), expected, LAST_PLACES)
