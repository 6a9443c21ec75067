"""Edge smoothing: where it changes a picture, by how much, and what a folder of copies looks like."""

from __future__ import annotations

import builtins

import cv2
import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import edges
from animegan_tf.errors import DataError, MissingExtraError, UsageError


def _noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _binomial_blur(image: np.ndarray) -> np.ndarray:
    """Independent computation: (1, 4, 6, 4, 1) / 16 both ways in integers, rounded half up."""
    weights = [1, 4, 6, 4, 1]
    padded = np.pad(image.astype(int), ((2, 2), (2, 2), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    total = sum(weights[i] * weights[j] * padded[i : i + height, j : j + width] for i in range(5) for j in range(5))
    return ((total + 128) // 256).astype(np.uint8)


def test_a_flat_picture_is_unchanged():
    flat = np.full((20, 30, 3), (200, 30, 90), np.uint8)
    np.testing.assert_array_equal(edges.smooth_edges(flat), flat)


def test_a_vertical_edge_takes_the_binomial_average_and_the_rest_stays():
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, 16:] = 255
    smooth = edges.smooth_edges(image)
    # Steps of the kernel (1, 4, 6, 4, 1) / 16 over a jump 0 -> 255: 255 * (1, 5, 11, 15) / 16, rounded.
    np.testing.assert_array_equal(smooth[8, 13:19, 0], [0, 16, 80, 175, 239, 255])
    np.testing.assert_array_equal(smooth[:, :12], image[:, :12])
    np.testing.assert_array_equal(smooth[:, 20:], image[:, 20:])


def test_every_pixel_is_either_blurred_or_untouched_as_an_independent_mask_says():
    image = _noise(48, 40) // 16 + np.uint8(100)  # texture that is no edge, and two shapes that are
    image[5:20, 4:18] = (250, 40, 60)
    image[30:, 20:33] = (10, 90, 20)
    found = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 100, 200) != 0
    rows, columns = np.nonzero(found)
    near = np.zeros(found.shape, bool)
    for row, column in zip(rows, columns, strict=True):
        near[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = True
    assert 0.05 < near.mean() < 0.95
    expected = np.where(near[..., None], _binomial_blur(image), image)
    np.testing.assert_array_equal(edges.smooth_edges(image), expected)


def test_borders_are_reflected_without_repeating_the_last_pixel():
    image = _noise(12, 12)
    everywhere = edges.smooth_edges(image, canny_low=1, canny_high=2, dilate=25)
    np.testing.assert_array_equal(everywhere, _binomial_blur(image))


def test_a_flipped_view_is_accepted_and_commutes_with_the_flip_on_a_symmetric_edge():
    image = np.zeros((16, 16, 3), np.uint8)
    image[4:12, 4:12] = 255
    np.testing.assert_array_equal(edges.smooth_edges(image[:, ::-1]), edges.smooth_edges(image[:, ::-1].copy()))


def test_one_pixel_wide_pictures_pass():
    for shape in ((1, 1, 3), (1, 9, 3), (9, 1, 3)):
        assert edges.smooth_edges(np.zeros(shape, np.uint8)).shape == shape


def test_gray_equals_opencv_on_every_level():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    np.testing.assert_array_equal(edges.to_gray(ramp), ramp)
    image = _noise(64, 64)
    gray = edges.to_gray(image)
    np.testing.assert_array_equal(gray[..., 1], cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    assert gray.dtype == np.uint8
    np.testing.assert_array_equal(
        edges.to_gray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))[0, :, 0], [76, 150, 29]
    )


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def test_a_folder_keeps_its_names_and_broken_files_are_listed(tmp_path):
    source, target = tmp_path / "style", tmp_path / "smooth"
    first = np.zeros((16, 24, 3), np.uint8)
    first[:, 12:] = 255
    _write(source / "first.PNG", first)
    _write(source / "sub" / "second.jpg", _noise(16, 16))
    (source / "sub" / "text.png").write_text("not a picture")
    written, failed = edges.smooth_folder(source, target, size=None, overwrite=False, progress=False)
    assert [path.relative_to(target).as_posix() for path in written] == ["first.png", "sub/second.png"]
    assert len(failed) == 1 and "text.png" in failed[0]
    np.testing.assert_array_equal(images.read_picture(target / "first.png").pixels, edges.smooth_edges(first))
    assert sorted(p.name for p in target.rglob("*.*")) == ["first.png", "second.png"]


def test_size_reduces_before_smoothing(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, 48:] = 255
    _write(tmp_path / "style" / "a.png", image)
    edges.smooth_folder(tmp_path / "style", tmp_path / "out", size=32, overwrite=False, progress=False)
    small = images.read_thumbnail(tmp_path / "style" / "a.png", 32)
    assert small.shape == (32, 48, 3)
    np.testing.assert_array_equal(images.read_picture(tmp_path / "out" / "a.png").pixels, edges.smooth_edges(small))


def test_what_exists_stays_without_overwrite(tmp_path):
    source, target = tmp_path / "style", tmp_path / "smooth"
    _write(source / "a.png", _noise(8, 8))
    edges.smooth_folder(source, target, size=None, overwrite=False, progress=False)
    (target / "a.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"holds a\.png already: pass --overwrite"):
        edges.smooth_folder(source, target, size=None, overwrite=False, progress=False)
    assert (target / "a.png").read_bytes() == b"mine"
    written, failed = edges.smooth_folder(source, target, size=None, overwrite=True, progress=False)
    assert written == [target / "a.png"] and not failed
    assert images.read_picture(target / "a.png").pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("inside", ["", "smooth"])
def test_the_target_must_lie_outside_of_the_source(tmp_path, inside):
    _write(tmp_path / "style" / "a.png", _noise(8, 8))
    with pytest.raises(UsageError, match="lies inside"):
        edges.smooth_folder(tmp_path / "style", tmp_path / "style" / inside, size=None, overwrite=True, progress=False)


def test_two_pictures_with_one_copy_name_are_reported(tmp_path):
    _write(tmp_path / "style" / "a.jpg", _noise(8, 8))
    _write(tmp_path / "style" / "a.png", _noise(8, 8))
    written, failed = edges.smooth_folder(
        tmp_path / "style", tmp_path / "out", size=None, overwrite=False, progress=False
    )
    assert len(written) == 1 and len(failed) == 1 and "a.png" in failed[0]


def test_progress_is_shown_on_stderr(tmp_path, capsys):
    _write(tmp_path / "style" / "a.png", _noise(8, 8))
    edges.smooth_folder(tmp_path / "style", tmp_path / "out", size=None, overwrite=False, progress=True)
    assert "1/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "does not exist."),
        (lambda folder: folder.write_text("x"), "is not a folder."),
        (lambda folder: folder.mkdir(), "holds no picture (jpg, jpeg, png, webp, gif, tif, tiff)."),
    ],
)
def test_a_folder_without_pictures_is_named_with_its_flag(tmp_path, make, message):
    folder = tmp_path / "photos"
    make(folder)
    with pytest.raises(DataError) as caught:
        edges.list_pictures(folder, "photo_dir")
    assert str(caught.value) == f"--photo_dir={folder} {message}"


def _failing_import(monkeypatch, error):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name == "cv2":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


def test_missing_opencv_names_the_pip_line(monkeypatch):
    _failing_import(monkeypatch, ModuleNotFoundError("No module named 'cv2'", name="cv2"))
    with pytest.raises(MissingExtraError, match=r"opencv-python: pip install 'animegan-tf\[train\]'"):
        edges.load_cv2()


def test_missing_system_libraries_name_the_apt_line(monkeypatch):
    _failing_import(monkeypatch, ImportError("libGL.so.1: cannot open shared object file: No such file or directory"))
    with pytest.raises(UsageError, match=r"libGL.*apt-get install libgl1 libglib2.0-0.*opencv-python-headless"):
        edges.smooth_edges(np.zeros((4, 4, 3), np.uint8))
