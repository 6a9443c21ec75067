"""Picture losses by hand and against independent code."""

import numpy as np
import pytest

from animegan_tf.config import TrainConfig
from animegan_tf.losses import pixel


def _gray(values):
    return np.repeat(np.asarray(values, "float32")[None, ..., None], 3, axis=-1)


def test_yuv_equals_tensorflow(rng):
    tf = pytest.importorskip("tensorflow")
    image = rng.uniform(size=(1, 4, 5, 3)).astype("float32")
    np.testing.assert_allclose(pixel.rgb_to_yuv(image), tf.image.rgb_to_yuv(image), atol=1e-6)


def test_huber_by_hand():
    # 0.5 * 0.5^2 inside, 3 - 0.5 outside.
    np.testing.assert_allclose(pixel.huber(np.array([0.5, -3.0], "float32")), (0.125 + 2.5) / 2)


def test_color_of_black_against_white_is_luminance_alone():
    black, white = _gray([[-1.0]]), _gray([[1.0]])
    np.testing.assert_allclose(pixel.color(black, white), 1.0, atol=1e-6)


def test_color_of_black_against_red():
    black = _gray([[-1.0]])
    red = np.array([1.0, -1.0, -1.0], "float32").reshape(1, 1, 1, 3)
    y, u, v = 0.299, 0.14714119, 0.61497538
    np.testing.assert_allclose(pixel.color(black, red), y + 0.5 * u**2 + 0.5 * v**2, rtol=1e-5)


def test_chroma_contrast_is_free_of_a_tint_and_counts_lost_hues():
    red, cyan = np.array([1.0, -1, -1], "float32"), np.array([-1.0, 1, 1], "float32")
    photo = np.stack([red, cyan]).reshape(1, 1, 2, 3)
    assert float(pixel.chroma_contrast(photo, photo * 0.5 + 0.1)) == pytest.approx(
        0.5 * float(pixel.chroma_contrast(photo, np.zeros_like(photo))), rel=1e-5
    )
    # Red and cyan lie opposite each other around grey: each is red's own U and V away from the mean.
    lost = 0.14714119 + 0.61497538
    np.testing.assert_allclose(pixel.chroma_contrast(photo, np.zeros_like(photo)), lost, rtol=1e-4)


def test_tone_contrast_is_free_of_a_shift_and_counts_lost_light():
    # Y less its mean is -0.5 and 0.5: halved it is 0.25 off at both pixels, and their difference is 0.5 off.
    photo = _gray([[-1.0, 1.0]] * 2)
    assert float(pixel.tone_contrast(photo, 0.5 * photo + 0.25)) == pytest.approx(0.25 + 0.5, rel=1e-5)
    assert float(pixel.tone_contrast(photo, photo - 0.5)) == pytest.approx(0, abs=1e-6)
    red, cyan = np.array([1.0, -1, -1], "float32"), np.array([-1.0, 1, 1], "float32")
    pair = np.stack([red, cyan, red, cyan]).reshape(1, 2, 2, 3)
    # Y is 0.299 and 0.701: each 0.201 away from the mean, and 0.402 apart.
    np.testing.assert_allclose(pixel.tone_contrast(pair, np.zeros_like(pair)), 0.201 + 0.402, rtol=1e-5)


def test_likeness_by_hand_counts_differences_of_neighbours_twice():
    picture, stylized = _gray([[0.0, 1.0], [0.0, 1.0]]), _gray([[0.0, 0.0], [0.0, 0.0]])
    assert float(pixel.likeness(picture, stylized)) == pytest.approx(0.5 + 2 * (0.0 + 1.0))
    assert float(pixel.likeness(picture, picture)) == 0


def test_cel_counts_small_steps_by_their_square_and_edges_once():
    step = 0.03
    small, edge, none = _gray([[0.0, step]] * 2), _gray([[0.0, 2.0]] * 2), _gray([[0.4, 0.4]] * 2)
    assert float(pixel.cel(small)) == pytest.approx(0.5 * 0.5, rel=1e-4)
    assert float(pixel.cel(edge)) == pytest.approx(0.5 * 4 / (4 + step**2), rel=1e-5)
    assert float(pixel.cel(none)) == 0


def test_total_variation_by_hand():
    # Vertical differences 1 and 3 of two, horizontal 2 and 4 of two; half the mean square of each.
    image = _gray([[0.0, 2.0], [1.0, 5.0]])
    np.testing.assert_allclose(pixel.total_variation(image), 0.5 * (1 + 9) / 2 + 0.5 * (4 + 16) / 2)


def test_total_variation_equals_the_published_expression(rng):
    image = rng.uniform(-1, 1, (2, 6, 7, 3)).astype("float32")
    down, right = np.diff(image, axis=1), np.diff(image, axis=2)
    published = (down**2).sum() / 2 / down.size + (right**2).sum() / 2 / right.size
    np.testing.assert_allclose(pixel.total_variation(image), published, rtol=1e-5)


def test_flat_variation_counts_where_the_photo_is_flat_only():
    step = _gray([[0.0, 0.0, 1.0, 1.0]] * 2)
    ripple = _gray([[0.0, 0.5, 0.5, 0.5]] * 2)
    # The ripple lies in the flat part: one of three horizontal differences of 0.5.
    np.testing.assert_allclose(pixel.flat_variation(step, ripple), 0.5 / 3, rtol=1e-5)
    assert float(pixel.flat_variation(step, step)) == pytest.approx(np.exp(-24) / 3, rel=1e-4)


def _grid_by_loops(photo: np.ndarray, stylized: np.ndarray) -> float:
    """Window by window and place by place: [H, W, 3] float64 in [-1, 1]."""
    gray = photo.mean(-1)
    calm = np.exp(-24 * np.abs(np.diff(gray, axis=0)))[:, :-1] * np.exp(-24 * np.abs(np.diff(gray, axis=1)))[:-1]
    height, width = (length // 64 * 64 for length in (photo.shape[0] - 8, photo.shape[1] - 8))
    found = []
    for top, left, channel in np.ndindex(height // 64, width // 64, 3):
        sums = np.zeros((8, 8))
        for y, x in np.ndindex(64, 64):
            row, column = 64 * top + y, 64 * left + x
            around = stylized[row : row + 8, column : column + 8, channel].mean()
            weight = calm[row : row + 8, column : column + 8].mean() ** 4
            sums[y % 8, x % 8] += weight * (stylized[row + 3, column + 3, channel] - around)
        found.append(np.abs(sums / 64 - sums.mean() / 64).mean())
    return 16 * float(np.mean(found))


def test_grid_equals_its_definition(rng):
    photo = np.add.outer(np.linspace(-0.5, 0.5, 76), np.linspace(0, 0.3, 140))[..., None] * np.ones(3)
    photo[20:40, 30:50] += rng.uniform(-0.2, 0.2, (20, 20, 3))
    stylized = rng.uniform(-1, 1, photo.shape)
    found = pixel.grid(photo[None].astype("float32"), stylized[None].astype("float32"))
    assert float(found) == pytest.approx(_grid_by_loops(photo, stylized), rel=1e-4)


def test_grid_counts_what_repeats_in_calm_areas_alone(rng):
    slope = np.add.outer(0.003 * np.arange(136.0), 0.002 * np.arange(136.0))
    slope = np.repeat(slope[None, ..., None], 3, axis=-1).astype("float32")
    dots = np.zeros_like(slope)
    dots[:, ::4, ::4] = 0.01
    calm = np.zeros_like(slope)
    busy = rng.uniform(-1, 1, slope.shape).astype("float32")
    assert float(pixel.grid(calm, slope)) == pytest.approx(0, abs=1e-5)
    # Of 16 places one is 15/16 above the mean and 15 are 1/16 below it.
    by_hand = 16 * 0.01 * (15 / 16 + 15 / 16) / 16
    assert float(pixel.grid(calm, slope + dots)) == pytest.approx(by_hand, rel=1e-3)
    assert float(pixel.grid(busy, dots)) < 0.01 * by_hand
    assert pixel.grid(calm[:, :64], dots[:, :64]) == 0.0


def test_lab_equals_scikit_image(rng):
    skimage = pytest.importorskip("skimage.color")
    image = rng.uniform(size=(1, 40, 40, 3)).astype("float32")
    image[0, :2] = rng.choice([0, 0.01, 0.04045, 0.05, 1], (2, 40, 3))  # both branches of both curves, and the ends
    np.testing.assert_allclose(pixel.rgb_to_lab(image)[0], skimage.rgb2lab(image[0].astype("float64")), atol=2e-4)


def test_lab_color_by_hand_and_by_the_published_expression(rng):
    skimage = pytest.importorskip("skimage.color")
    np.testing.assert_allclose(pixel.lab_color(_gray([[-1.0]]), _gray([[1.0]])), 2.0, atol=1e-4)
    photo, stylized = rng.uniform(-1, 1, (2, 2, 5, 6, 3)).astype("float32")
    labs = [skimage.rgb2lab((x.astype("float64") + 1) / 2) for x in (photo, stylized)]
    scaled = [np.stack([x[..., 0] / 100, (x[..., 1] + 128) / 255, (x[..., 2] + 128) / 255]) for x in labs]
    lightness, a, b = np.abs(scaled[0] - scaled[1]).mean((1, 2, 3))
    np.testing.assert_allclose(pixel.lab_color(photo, stylized), 2 * lightness + a + b, rtol=1e-5)


def test_edges_equal_scikit_images_sobel(rng):
    filters = pytest.importorskip("skimage.filters")
    image = rng.uniform(-1, 1, (2, 7, 9, 3)).astype("float32")
    luminance = ((image + 1) / 2) @ np.array([0.299, 0.587, 0.114])
    squares = [(filters.sobel_h(one) ** 2 + filters.sobel_v(one) ** 2)[1:-1, 1:-1] for one in luminance]
    np.testing.assert_allclose(pixel.edge_map(image), np.sqrt(np.array(squares) + 1e-6), atol=1e-5)


def test_edge_counts_lines_drawn_and_lines_lost_alike():
    flat, step = _gray(np.zeros((4, 6))), _gray([[-1.0, -1, -1, 1, 1, 1]] * 4)
    # Two of the four inner columns see the step, each with magnitude 1; the other two see nothing.
    np.testing.assert_allclose(pixel.edge(flat, step), 0.5 * (1 - 1e-3), rtol=1e-4)
    np.testing.assert_allclose(pixel.edge(step, flat), pixel.edge(flat, step), rtol=1e-6)
    np.testing.assert_allclose(pixel.edge(step, 0.5 * step + 0.1), 0.25, rtol=1e-3)


@pytest.mark.parametrize("name", ["lab_color", "edge"])
@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_gradients_are_finite_on_flat_pictures(rng, name, level):
    tf = pytest.importorskip("tensorflow")
    stylized, photo = tf.fill((1, 4, 4, 3), level), rng.uniform(-1, 1, (1, 4, 4, 3)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(stylized)
        loss = getattr(pixel, name)(photo, stylized)
    gradient = tape.gradient(loss, stylized)
    assert np.isfinite(gradient).all()
    assert name == "edge" or np.abs(gradient).max() > 0


@pytest.mark.parametrize("name", ["lab_color", "edge"])
def test_gradients_are_those_of_the_value(rng, name):
    tf = pytest.importorskip("tensorflow")
    photo, stylized, direction = rng.uniform(-0.9, 0.9, (3, 1, 5, 5, 3)).astype("float32")
    with tf.GradientTape() as tape:
        moving = tf.constant(stylized)
        tape.watch(moving)
        loss = getattr(pixel, name)(photo, moving)
    found = np.sum(tape.gradient(loss, moving) * direction)
    values = [float(getattr(pixel, name)(photo, stylized + step * direction)) for step in (1e-3, -1e-3)]
    np.testing.assert_allclose(found, (values[0] - values[1]) / 2e-3, rtol=2e-2)


def test_landmark_by_hand():
    photo, stylized = np.zeros((3, 2, 2, 3), "float32"), np.zeros((3, 2, 2, 3), "float32")
    face = np.zeros((3, 2, 2, 1), "float32")
    stylized[:, 0, 0], stylized[:, 1, 1] = (0.3, -0.6, 0), 1
    face[0, 0] = 1  # 0.3 on one pixel of two
    face[1, 0, 0], face[1, 1, 1] = 0.25, 0.75  # 0.25 * 0.3 + 0.75 * 1
    expected = [0.15, 0.825]
    np.testing.assert_allclose(pixel.landmark(photo, stylized, face), np.mean(expected), rtol=1e-5)
    np.testing.assert_allclose(pixel.landmark(photo[:1], stylized[:1], face[:1]), expected[0], rtol=1e-5)
    assert float(pixel.landmark(photo, stylized, np.zeros_like(face))) == 0


def test_l1_by_hand():
    np.testing.assert_allclose(pixel.l1(_gray([[0.5, -1.0]]), _gray([[0.0, 1.0]])), 1.25)


def test_the_flag_offers_what_exists():
    assert set(TrainConfig.__dataclass_fields__["color_loss"].metadata["choices"]) == set(pixel.COLOR_LOSSES)


def test_identical_pictures_cost_nothing(rng):
    image = rng.uniform(-1, 1, (2, 8, 8, 3)).astype("float32")
    for loss in (*pixel.COLOR_LOSSES.values(), pixel.edge, pixel.l1):
        assert float(loss(image, image)) == 0
    assert float(pixel.total_variation(np.full((1, 4, 4, 3), 0.3, "float32"))) == 0
