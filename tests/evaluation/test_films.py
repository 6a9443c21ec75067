"""Warping errors of films whose motion is known, and of films whose motion must be found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import DataError
from animegan_tf.evaluation.films import Step, estimated_film, read_frames, synthetic_film, warp, warping_errors

IDENTITY = {"same": lambda frame: frame}


@pytest.fixture
def photo() -> np.ndarray:
    """Returns a smooth picture of strong contrast, [96, 112, 3]."""
    small = Image.fromarray(np.random.default_rng(3).integers(0, 256, (8, 9, 3)).astype(np.uint8))
    return np.asarray(small.resize((112, 96), Image.Resampling.BICUBIC))


def test_warping_is_bilinear_and_keeps_the_border():
    values = np.arange(12, dtype=float).reshape(3, 4, 1)  # 4 y + x
    places = np.array([[[0.5, 0.25], [3, 2], [2.25, 1.5], [-5, 9]]])
    np.testing.assert_allclose(warp(values, places)[0, :, 0], [1.5, 11, 8.25, 8])


def test_a_film_that_moves_by_whole_pixels_has_no_error(photo):
    steps = list(synthetic_film(photo, frames=4, shift=(2, 1), zoom=0))
    assert steps[0].origins is None and steps[0].frame.shape == (86, 96, 3)
    np.testing.assert_array_equal(steps[1].frame, photo[6:92, 10:106])  # 2 right and 1 down of the middle
    np.testing.assert_allclose(steps[2].origins[5, 7], (9, 6))
    assert steps[2].valid.sum() == 85 * 94
    assert warping_errors(steps, IDENTITY) == {"same": 0}


def test_the_known_motion_of_a_zooming_film_is_right(photo):
    own = warping_errors(synthetic_film(photo), IDENTITY)["same"]
    still = [Step(s.frame, s.origins if s.origins is None else _grid(s.frame), s.valid) for s in synthetic_film(photo)]
    assert own < 0.7  # rounding to levels alone makes 0.35
    assert warping_errors(still, IDENTITY)["same"] > 10 * own


def _grid(frame):
    return np.stack(np.meshgrid(np.arange(frame.shape[1]), np.arange(frame.shape[0])), -1).astype(float)


def test_the_error_is_the_root_mean_square_in_levels(photo):
    """Alternating by 6 levels, on an unmoved film: every pair differs by 6. Two films do not meet."""
    steps = [step for _ in range(2) for step in synthetic_film(photo // 2, frames=3, shift=(0, 0), zoom=0)]
    turns = iter([0, 6, 0, 90, 96, 90])
    assert warping_errors(steps, {"flicker": lambda frame: frame + np.uint8(next(turns))})["flicker"] == 6


def test_only_valid_pixels_count():
    frame = np.zeros((4, 4, 3), np.uint8)
    changed = frame.copy()
    changed[0] = 200
    valid = np.ones((4, 4), bool)
    valid[0] = False
    assert warping_errors([Step(frame), Step(changed, _grid(frame), valid)], IDENTITY) == {"same": 0}
    assert warping_errors([Step(frame), Step(changed, _grid(frame), ~valid)], IDENTITY) == {"same": 200}
    assert warping_errors([Step(frame), Step(changed, _grid(frame), valid & False)], IDENTITY) == {"same": None}


def test_a_photo_too_small_to_move_gives_no_film():
    assert list(synthetic_film(np.zeros((8, 40, 3), np.uint8))) == []


def test_optical_flow_finds_a_motion(photo):
    pytest.importorskip("cv2", reason="needs the extra train")
    known = list(synthetic_film(photo, frames=3, shift=(2, 1), zoom=0))
    found = list(estimated_film(step.frame for step in known))
    inner = (slice(12, -12), slice(12, -12))
    assert found[0].origins is None
    assert np.abs(found[1].origins - known[1].origins)[inner].mean() < 0.15
    assert found[1].valid[inner].mean() > 0.95
    assert warping_errors(found, IDENTITY)["same"] < 1.5


def test_what_comes_from_nowhere_is_not_valid(photo):
    pytest.importorskip("cv2", reason="needs the extra train")
    covered = photo.copy()
    covered[30:60, 40:80] = np.random.default_rng(0).integers(0, 256, (30, 40, 3))
    step = list(estimated_film([photo, covered]))[1]
    assert step.valid[35:55, 45:75].mean() < 0.7 < step.valid[:20].mean()


def test_frames_come_from_a_folder_in_their_order(photo, tmp_path):
    for number in (2, 0, 1):
        Image.fromarray(photo // (number + 1)).save(tmp_path / f"{number}.png")
    frames = list(read_frames(tmp_path, 2, 0))
    np.testing.assert_array_equal(frames, [photo, photo // 2])
    assert next(read_frames(tmp_path, 2, 56)).shape == (48, 56, 3)


def test_frames_come_from_a_video(photo, tmp_path):
    cv2 = pytest.importorskip("cv2", reason="needs the extra train")
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (112, 96))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MJPG")
    for number in range(3):
        writer.write(np.ascontiguousarray(np.full_like(photo, (250, 20, 40 * number))[..., ::-1]))
    writer.release()
    frames = list(read_frames(tmp_path / "film.avi", 9, 0))
    assert len(frames) == 3
    assert np.abs(frames[2].mean((0, 1)) - [250, 20, 80]).max() < 6  # red first


@pytest.mark.parametrize("name", ["one", "broken", "text.mp4", "sizes"])
def test_a_clip_that_is_none_is_one_sentence(tmp_path, name):
    pytest.importorskip("cv2", reason="needs the extra train")
    path = tmp_path / name
    if path.suffix:
        path.write_text("no video")
    else:
        path.mkdir()
        Image.new("RGB", (40, 40)).save(path / "a.png")
    if name == "broken":
        (path / "b.png").write_text("no picture")
    if name == "sizes":
        Image.new("RGB", (50, 40)).save(path / "b.png")
    sentences = {"broken": "not a picture", "sizes": "several sizes"}
    with pytest.raises(DataError, match=sentences.get(name, "no folder of pictures and no video with at least two")):
        list(read_frames(path, 9, 0))
