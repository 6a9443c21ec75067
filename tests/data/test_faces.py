"""Faces: the landmark files, the map for training, alignment by hand-computed numbers, and the real detector."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import faces
from animegan_tf.errors import DataError, ImageError, MissingExtraError, UsageError

POINTS = np.array([[10.0, 12.5], [30.0, 12.0], [20.0, 20.0], [12.25, 30.0], [28.0, 31.0]])


def _smooth_picture(height: int, width: int) -> np.ndarray:
    """Plain waves, which bicubic interpolation follows closely."""
    y, x = np.mgrid[:height, :width] + 0.5
    waves = [np.sin(x / 17), np.cos(y / 23), np.sin((x + y) / 29)]
    return np.stack([128 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def _turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return scale * points @ turn.T + shift


def test_landmark_paths_mirror_the_sub_folders(tmp_path):
    photos, kept = tmp_path / "photos", tmp_path / "kept"
    assert faces.landmark_path(photos / "a" / "b.c.JPG", photos, kept) == kept / "a" / "b.c.json"


def test_landmarks_come_back_as_fractions_of_width_and_height(tmp_path):
    path = tmp_path / "sub" / "a.json"
    faces.write_landmarks(path, POINTS, 40, 50)
    assert json.loads(path.read_text()) == {
        "width": 40,
        "height": 50,
        "landmarks": {
            "left_eye": [10.0, 12.5],
            "right_eye": [30.0, 12.0],
            "nose": [20.0, 20.0],
            "mouth_left": [12.25, 30.0],
            "mouth_right": [28.0, 31.0],
        },
    }
    read = faces.read_landmarks(path)
    assert read.dtype == np.float32
    expected = [[0.25, 0.25], [0.75, 0.24], [0.5, 0.4], [0.30625, 0.6], [0.7, 0.62]]
    np.testing.assert_allclose(read, expected, atol=1e-7)


def _file(**changes) -> str:
    landmarks = dict(zip(faces.LANDMARKS, POINTS.tolist(), strict=True))
    return json.dumps({"width": 40, "height": 50, "landmarks": landmarks} | changes)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"[1, 2]",
        b"3",
        b"[" * 100_000,
        _file().encode()[:-20],
        _file(width=0).encode(),
        _file(width=-40).encode(),
        _file(height=None).encode(),
        _file(width=[40]).encode(),
        _file(landmarks={}).encode(),
        _file(landmarks=[]).encode(),
        _file(landmarks={name: [1] for name in faces.LANDMARKS}).encode(),
        _file(landmarks={name: ["a", "b"] for name in faces.LANDMARKS}).encode(),
        _file(landmarks={name: [1, float("nan")] for name in faces.LANDMARKS}).encode(),
        _file(landmarks={name: [1, 10**400] for name in faces.LANDMARKS}).encode(),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json: not a landmark file, or damaged; make it again by tools/.*\.$"):
        faces.read_landmarks(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"a\.json: cannot be read \(No such file or directory\)\.$"):
        faces.read_landmarks(tmp_path / "a.json")


def test_the_map_is_a_gaussian_around_each_landmark():
    # Eyes 16 px apart in a map 64 wide: sigma is 4. All points on pixel centres.
    points = np.array([[24.5, 20.5], [40.5, 20.5], [32.5, 30.5], [26.5, 40.5], [38.5, 40.5]]) / (64, 48)
    spots = faces.landmark_map(points, 48, 64)
    assert spots.shape == (48, 64) and spots.dtype == np.uint8
    for column, row in ((24, 20), (40, 20), (32, 30), (26, 40), (38, 40)):
        assert spots[row, column] == 255
    # Left of and above the left eye nothing else adds: 255 exp(-d^2 / 32) for d = 1, 2, 4, 8, 5 (3 left, 4 up).
    assert [spots[20, 23], spots[20, 22], spots[20, 20], spots[20, 16]] == [247, 225, 155, 35]
    assert spots[16, 21] == 117
    # Between the eyes the nearer one counts, not the sum: d = 8 to both.
    assert spots[20, 32] == 35
    assert spots[0, 0] == 0


def test_the_map_mirrors_with_the_coordinates_and_follows_the_size():
    points = (POINTS / (40, 50)).astype(np.float32)
    mirrored = points * (-1, 1) + (1, 0)
    np.testing.assert_array_equal(faces.landmark_map(mirrored, 60, 48), faces.landmark_map(points, 60, 48)[:, ::-1])
    large = faces.landmark_map(points, 200, 160).astype(float).reshape(50, 4, 40, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(faces.landmark_map(points, 50, 40), large, atol=8)


def test_the_map_of_a_profile_with_both_eyes_in_one_place_is_five_small_spots():
    points = np.array([[0.25, 0.25], [0.25, 0.25], [0.05, 0.5], [0.2, 0.8], [0.25, 0.8]])
    spots = faces.landmark_map(points, 40, 40)  # sigma 0.5: a landmark between four pixels gives 255 exp(-1)
    assert spots[9:11, 9:11].tolist() == [[94, 94], [94, 94]] and spots[20, 30] == 0


def test_the_template_is_a_symmetric_upright_face():
    template = faces.TEMPLATE
    np.testing.assert_allclose(template[[0, 3], 0] + template[[1, 4], 0], 1)
    assert template[2, 0] == 0.5
    assert template[0, 1] == template[1, 1] < template[2, 1] < template[3, 1] == template[4, 1]


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 2.5, (7, -4)), (-160, 0.1, (300, 90))])
def test_a_turned_and_scaled_template_is_taken_back_exactly(degrees, scale, shift):
    wanted = faces.TEMPLATE * 256
    points = _turned(wanted, degrees, scale, shift)
    matrix = faces.align_transform(points, 256)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], wanted, atol=1e-9)
    assert math.hypot(*matrix[:, 0]) == pytest.approx(1 / scale)


def test_a_quarter_turn_by_hand():
    # Clockwise on the screen: (x, y) -> (-y, x) + (256, 0); the way back is (x, y) -> (y, 256 - x).
    points = (faces.TEMPLATE * 256)[:, ::-1] * (-1, 1) + (256, 0)
    np.testing.assert_allclose(faces.align_transform(points, 256), [[0, 1, 0], [-1, 0, 256]], atol=1e-12)


def test_no_other_similarity_comes_closer_to_the_template():
    rng = np.random.default_rng(3)
    wanted = faces.TEMPLATE * 100
    points = wanted + rng.normal(0, 6, (5, 2))
    matrix = faces.align_transform(points, 100)

    def distance(change: np.ndarray) -> float:
        a, b, x, y = np.array([matrix[0, 0], matrix[1, 0], *matrix[:, 2]]) + change
        return np.sum((points @ np.array([[a, b], [-b, a]]) + (x, y) - wanted) ** 2)

    best = distance(np.zeros(4))
    for change in [*np.eye(4), *rng.normal(0, 1, (20, 4))]:
        assert distance(0.01 * change) > best and distance(-0.01 * change) > best


@pytest.mark.parametrize("points", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_landmarks_without_extent_are_refused(points):
    with pytest.raises(DataError, match="must be different points"):
        faces.align_transform(points, 64)


def test_a_face_that_is_aligned_already_passes_unchanged():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    aligned, points = faces.align_face(pixels, faces.TEMPLATE * 64, 64)
    np.testing.assert_array_equal(aligned, pixels)
    np.testing.assert_allclose(points, faces.TEMPLATE * 64)


def test_a_face_lying_on_its_side_is_turned_without_a_shift():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    turned = np.rot90(pixels, -1)  # clockwise
    points = (faces.TEMPLATE * 64)[:, ::-1] * (-1, 1) + (64, 0)
    np.testing.assert_array_equal(faces.align_face(turned, points, 64)[0], pixels)


@pytest.mark.parametrize("factor", [2, 3])
def test_a_large_face_is_averaged_down_in_place(factor):
    small = _smooth_picture(96, 96)
    large = np.asarray(Image.fromarray(small).resize((96 * factor, 96 * factor), Image.Resampling.BICUBIC))
    aligned, _ = faces.align_face(large, faces.TEMPLATE * 96 * factor, 96)
    np.testing.assert_allclose(aligned[4:-4, 4:-4].astype(int), small[4:-4, 4:-4], atol=3)
    checks = (np.indices((192, 192)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    grey, _ = faces.align_face(checks, faces.TEMPLATE * 192, 96)
    np.testing.assert_allclose(grey[8:-8, 8:-8], 127.5, atol=2)


def test_the_landmarks_stay_on_what_they_marked():
    # A red dot per landmark, on a picture turned by 20 degrees, must lie under the landmarks of the result.
    points = _turned(faces.TEMPLATE * 128, 20, 1.5, (60, 10))
    pixels = np.zeros((300, 300, 3), np.uint8)
    y, x = np.mgrid[:300, :300] + 0.5
    for px, py in points:
        pixels[(x - px) ** 2 + (y - py) ** 2 < 36] = (255, 0, 0)
    aligned, landmarks = faces.align_face(pixels, points, 128)
    np.testing.assert_allclose(landmarks, faces.TEMPLATE * 128, atol=1e-9)
    y, x = np.mgrid[:128, :128] + 0.5
    for px, py in landmarks:
        weight = aligned[..., 0] * ((x - px) ** 2 + (y - py) ** 2 < 64)
        assert (weight * x).sum() / weight.sum() == pytest.approx(px, abs=0.1)
        assert (weight * y).sum() / weight.sum() == pytest.approx(py, abs=0.1)


def test_outside_of_the_picture_its_border_goes_on():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16], pixels[:, 16:] = (10, 20, 30), (200, 100, 50)
    aligned, _ = faces.align_face(pixels, faces.TEMPLATE * 64 - (16, 16), 64)  # the picture is the middle half
    np.testing.assert_array_equal(aligned[:, :30], np.full((64, 30, 3), (10, 20, 30)))
    np.testing.assert_array_equal(aligned[:, 34:], np.full((64, 30, 3), (200, 100, 50)))


def _face(side: float, confidence: float = 1.0, shift: float = 0.0) -> faces.Face:
    return faces.Face(faces.TEMPLATE * side + shift, side, confidence)


@pytest.fixture
def photo_dir(tmp_path):
    folder = tmp_path / "photos"
    for name, width in (("one.png", 64), ("sub/two.png", 48), ("none.png", 32)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_smooth_picture(64, width)).save(folder / name)
    (folder / "broken.jpg").write_text("not a picture")
    return folder


def _detect(pixels: np.ndarray) -> list[faces.Face]:
    """A fake: by the picture's width one face, two and a doubtful one, or none."""
    two = [_face(32, 0.99), _face(40, 0.96, 4.0), _face(48, 0.5)]
    return {64: [_face(64)], 48: two, 32: []}[pixels.shape[1]]


def test_all_faces_are_written_largest_first(photo_dir, tmp_path):
    out = tmp_path / "out"
    result = faces.align_folder(photo_dir, out, _detect, size=32)
    assert (result.faces, result.pictures, result.faceless) == (3, 2, [photo_dir / "none.png"])
    assert len(result.failed) == 1 and "broken.jpg: not a picture" in result.failed[0]
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert names == [f"{stem}.{kind}" for stem in ("one_0", "sub/two_0", "sub/two_1") for kind in ("json", "png")]
    two = images.read_picture(photo_dir / "sub" / "two.png").pixels
    for number, face in enumerate((_face(40, shift=4.0), _face(32))):
        expected, _ = faces.align_face(two, face.landmarks, 32)
        written = images.read_picture(out / "sub" / f"two_{number}.png").pixels
        np.testing.assert_array_equal(written, expected)
        read = faces.read_landmarks(out / "sub" / f"two_{number}.json")
        np.testing.assert_allclose(read, faces.TEMPLATE, atol=2e-4)


def test_the_largest_alone_has_the_name_of_its_picture(photo_dir, tmp_path):
    result = faces.align_folder(photo_dir, tmp_path / "out", _detect, size=32, suffix=".jpg", largest_only=True)
    assert (result.faces, result.pictures) == (2, 2)
    names = sorted(path.name for path in (tmp_path / "out").rglob("*.*"))
    assert names == ["one.jpg", "one.json", "two.jpg", "two.json"]


def test_annotations_are_of_the_original_and_may_lie_beside_it(photo_dir):
    result = faces.align_folder(photo_dir, photo_dir, _detect, size=None, min_confidence=0.97)
    assert (result.faces, result.pictures, len(result.faceless)) == (2, 2, 1)
    assert sorted(path.name for path in photo_dir.rglob("*.json")) == ["one.json", "two.json"]
    path = faces.landmark_path(photo_dir / "sub" / "two.png", photo_dir, photo_dir)
    np.testing.assert_allclose(faces.read_landmarks(path), faces.TEMPLATE * 32 / (48, 64), atol=2e-4)


def test_nothing_is_overwritten_unasked(photo_dir, tmp_path):
    out = tmp_path / "out"
    faces.align_folder(photo_dir, out, _detect, size=32)
    before = (out / "one_0.png").read_bytes()
    with pytest.raises(UsageError, match=r"holds one_0.json already: pass --overwrite"):
        faces.align_folder(photo_dir, out, _detect, size=64)
    assert (out / "one_0.png").read_bytes() == before
    faces.align_folder(photo_dir, out, _detect, size=64, overwrite=True)
    assert images.read_picture(out / "one_0.png").pixels.shape == (64, 64, 3)


def test_faces_do_not_go_among_the_photos_they_come_from(photo_dir):
    with pytest.raises(UsageError, match="lies inside --photo_dir"):
        faces.align_folder(photo_dir, photo_dir / "faces", _detect, size=32)


def test_two_photos_of_one_name_are_told_apart_and_the_rest_goes_on(photo_dir, tmp_path):
    Image.fromarray(_smooth_picture(64, 64)).save(photo_dir / "one.jpg")
    result = faces.align_folder(photo_dir, tmp_path / "out", _detect, size=32)
    assert result.faces == 3 and len(result.failed) == 2
    assert any("one.png: its faces would have the names of those of one.jpg" in reason for reason in result.failed)


def test_a_place_that_cannot_be_written_to_is_listed(photo_dir, tmp_path):
    (tmp_path / "out").write_text("a file")
    result = faces.align_folder(photo_dir, tmp_path / "out", _detect, size=32)
    assert result.faces == 0 and len(result.failed) == 3
    with pytest.raises(ImageError, match="is not a folder"):
        faces.write_landmarks(tmp_path / "out" / "a.json", POINTS, 40, 50)


@pytest.mark.parametrize("package", ["mtcnn", "tensorflow"])
def test_a_missing_package_names_the_extra(monkeypatch, package):
    if package != "mtcnn":
        pytest.importorskip("mtcnn", reason="needs the extra faces")
    for name in [name for name in sys.modules if name.split(".")[0] == "mtcnn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"Finding faces needs {package}: pip install 'animegan-tf\[faces\]'"):
        faces.load_detector()


@pytest.fixture(scope="module")
def detect() -> faces.Detector:
    """Returns the real detector."""
    pytest.importorskip("mtcnn", reason="needs the extra faces")
    return faces.load_detector(40)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """Returns scikit-image's portrait of Eileen Collins, [512, 512, 3]."""
    return pytest.importorskip("skimage.data", reason="needs scikit-image").astronaut()


# By eye, in pixels of the portrait.
PORTRAIT_LANDMARKS = np.array([[204, 101], [245, 102], [224, 127], [202, 139], [244, 140]])


def test_mtcnn_finds_the_face_of_a_portrait(detect, portrait):
    (face,) = detect(portrait)
    np.testing.assert_allclose(face.landmarks, PORTRAIT_LANDMARKS, atol=3)
    assert face.confidence > 0.99 and 70 < face.side < 100
    assert detect(np.full((64, 64, 3), 128, np.uint8)) == []


def test_mtcnn_calls_left_what_the_viewer_sees_left(detect, portrait):
    (face,) = detect(np.ascontiguousarray(portrait[:, ::-1]))
    mirrored = PORTRAIT_LANDMARKS[[1, 0, 2, 4, 3]] * (-1, 1) + (512, 0)
    np.testing.assert_allclose(face.landmarks, mirrored, atol=3)


@pytest.mark.parametrize("least", [100, 300])
def test_large_photos_are_searched_in_a_copy_and_small_faces_left_out(portrait, least):
    pytest.importorskip("mtcnn", reason="needs the extra faces")
    large = np.asarray(Image.fromarray(portrait).resize((1740, 1740), Image.Resampling.BICUBIC))
    found = faces.load_detector(least)(large)  # the face is some 285 px wide
    if least == 300:
        assert found == []
    else:
        np.testing.assert_allclose(found[0].landmarks / 1740 * 512, PORTRAIT_LANDMARKS, atol=3)


def test_a_turned_portrait_is_aligned_with_level_eyes(detect, portrait):
    turned = np.asarray(Image.fromarray(portrait).rotate(25, Image.Resampling.BICUBIC, expand=True))
    (face,) = detect(turned)
    (left, right), (wanted_left, wanted_right) = face.landmarks[:2], faces.TEMPLATE[:2] * 128
    assert left[1] - right[1] > 10
    aligned, landmarks = faces.align_face(turned, face.landmarks, 128)
    assert abs(landmarks[0, 1] - landmarks[1, 1]) < 3
    np.testing.assert_allclose(landmarks[:2], [wanted_left, wanted_right], atol=4)
    upright, _ = faces.align_face(portrait, PORTRAIT_LANDMARKS, 128)
    difference = np.abs(aligned.astype(int) - upright)[30:110, 30:98].mean()
    aslant, _ = faces.align_face(turned, PORTRAIT_LANDMARKS + face.landmarks.mean(axis=0) - (224, 122), 128)
    assert difference < 20 < 30 < np.abs(aslant.astype(int) - upright)[30:110, 30:98].mean()


def test_a_file_in_the_current_folder_does_not_replace_the_weights(tmp_path, monkeypatch):
    pytest.importorskip("mtcnn", reason="needs the extra faces")
    (tmp_path / "pnet.lz4").write_text("not weights")
    monkeypatch.chdir(tmp_path)
    assert faces.load_detector()(np.zeros((48, 48, 3), np.uint8)) == []
