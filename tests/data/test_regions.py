"""Superpixels, L0 smoothing and revision targets against their definitions."""

import sys

import numpy as np
import pytest

from animegan_tf.data.regions import l0_smooth, region_means, revision_target, superpixels
from animegan_tf.errors import MissingExtraError


@pytest.fixture
def picture(rng):
    """Returns 48 x 40 uint8 RGB: six areas of one colour each, far apart, with noise of up to 6 levels."""
    colors = np.array(
        [[[40, 60, 200], [210, 220, 60]], [[220, 50, 50], [30, 160, 70]], [[240, 240, 240], [20, 20, 20]]]
    )
    areas = colors.repeat(16, 0).repeat(20, 1)
    return (areas + rng.integers(-6, 7, areas.shape)).astype(np.uint8)


def test_superpixels_are_region_means(picture):
    segmentation = pytest.importorskip("skimage.segmentation")
    color = pytest.importorskip("skimage.color")
    labels = segmentation.felzenszwalb(picture, scale=5, sigma=0.8, min_size=50)
    found = superpixels(picture)
    assert found.dtype == np.uint8
    for label in np.unique(labels):
        mean = picture[labels == label].mean(0)
        assert (found[labels == label] == np.floor(mean)).all()
    np.testing.assert_array_equal(found, color.label2rgb(labels, picture, kind="avg", bg_label=-1))


def test_superpixels_have_a_smallest_size(picture):
    pytest.importorskip("skimage")
    colors = [len(np.unique(superpixels(picture, min_size=size).reshape(-1, 3), axis=0)) for size in (5, 50, 2000)]
    assert colors[0] >= colors[1] >= 6 and colors[2] == 1


def test_region_means_by_hand():
    image = np.array([[[10, 0, 255], [20, 1, 255]], [[1, 2, 3], [0, 0, 0]]], np.uint8)
    # A label may be absent, as 1 is; 10 and 20 make 15, 0 and 1 make 0.
    found = region_means(image, np.array([[0, 0], [2, 3]]))
    np.testing.assert_array_equal(found, [[[15, 0, 255]] * 2, [[1, 2, 3], [0, 0, 0]]])


def test_l0_keeps_constants_and_large_steps():
    np.testing.assert_allclose(l0_smooth(np.full((8, 9, 3), 0.4)), 0.4, atol=1e-6)
    step = np.full((16, 16, 3), 0.2)
    step[4:12, 5:11] = 0.8
    np.testing.assert_allclose(l0_smooth(step), step, atol=2e-3)


def test_l0_removes_noise_and_gradients_but_not_edges(rng):
    clean = np.full((32, 32, 3), 0.2)
    clean[8:24, 8:24] = (0.9, 0.5, 0.2)
    noisy = clean + rng.normal(0, 0.01, clean.shape)
    found = l0_smooth(noisy)
    assert found.dtype == np.float32
    assert np.abs(found - clean).max() < 0.02 and (found - clean).std() < 0.2 * (noisy - clean).std()
    steps = [np.abs(np.diff(image, axis=1)).sum(-1) for image in (noisy, found)]
    assert (steps[0] > 1e-3).sum() > 980 and (steps[1] > 1e-3).sum() < 100
    # The two upright sides of the square, 16 px each, keep their height of 0.7 + 0.3.
    np.testing.assert_allclose(np.sort(steps[1], axis=None)[-32:], 1.0, atol=0.03)


def _rounds(image, weight, rounds):
    """Returns L0 smoothing of [H, W, C] float64 after some rounds, each a dense linear system."""
    height, width, channels = image.shape
    count = height * width
    index = np.arange(count).reshape(height, width)
    eye = np.eye(count)
    right, down = (eye[np.roll(index, -1, axis).ravel()] - eye for axis in (1, 0))
    source = smooth = image.reshape(count, channels)
    beta = 2 * weight
    for _ in range(rounds):
        h, v = right @ smooth, down @ smooth
        small = (h**2 + v**2).sum(1) < weight / beta
        h[small] = v[small] = 0
        matrix = eye + beta * (right.T @ right + down.T @ down)
        smooth = np.linalg.solve(matrix, source + beta * (right.T @ h + down.T @ v))
        beta *= 2
    return smooth.reshape(image.shape)


@pytest.mark.parametrize("rounds", [1, 6, None])
def test_l0_solves_its_normal_equations(rng, monkeypatch, rounds):
    image, weight = rng.uniform(0.3, 0.7, (5, 6, 3)), 0.02
    if rounds:
        monkeypatch.setattr("animegan_tf.data.regions._BETA_MAX", 1.01 * 2 * weight * 2 ** (rounds - 1))
    expected = _rounds(image, weight, rounds or 22)  # 0.04 * 2^21 is the last below 1e5
    np.testing.assert_allclose(l0_smooth(image, weight=weight), expected, atol=1e-4)
    assert np.abs(expected - image).max() > 0.01


def test_revision_targets_are_denoised_then_smoothed(picture):
    cv2 = pytest.importorskip("cv2")
    denoised = cv2.cvtColor(
        cv2.fastNlMeansDenoisingColored(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), None, 7, 6, 6, 7), cv2.COLOR_BGR2RGB
    )
    expected = np.clip(l0_smooth(denoised / 255) * 2 - 1, -1, 1)
    found = revision_target(picture, denoise=(7, 6, 6, 7))
    assert found.dtype == np.float32 and found.shape == picture.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Six areas of one colour: what is left of the noise within one is less than a level.
    areas = (found.reshape(3, 16, 2, 20, 3) + 1) * 127.5
    assert areas.std((1, 3)).max() < 1 < picture.reshape(3, 16, 2, 20, 3).std((1, 3)).min()


def test_revision_targets_stay_in_range(rng):
    pytest.importorskip("cv2")
    found = revision_target(rng.choice([0, 255], (16, 16, 3)).astype(np.uint8))
    assert found.min() >= -1 and found.max() <= 1


@pytest.mark.parametrize(
    ("module", "package", "function"),
    [
        ("skimage", "scikit-image", superpixels),
        ("cv2", "opencv-python", revision_target),
        ("scipy", "scipy", l0_smooth),
    ],
)
def test_missing_packages_name_the_pip_line(monkeypatch, picture, module, package, function):
    for name in [module, *(name for name in sys.modules if name.startswith(f"{module}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"needs {package}: pip install 'animegan-tf\[train\]'"):
        function(picture)
