"""Pictures beyond the limit of memory: the streamed file equals the one made in memory, metadata and all."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from animegan_tf.errors import ImageError, MissingExtraError
from animegan_tf.images import read_picture
from animegan_tf.runtime import large
from animegan_tf.runtime import stylizer as module
from animegan_tf.runtime.stylizer import Stylizer

pytest.importorskip("pyvips", reason="large pictures need the extra 'large'")


@pytest.fixture
def stylizer(tiny_style, monkeypatch):
    """Returns the tiny style; pictures of more than 1000 pixels are large ones."""
    monkeypatch.setattr(module, "MAX_PIXELS", 1000)
    return Stylizer.load(tiny_style)


@pytest.fixture
def photo(tmp_path, rng):
    """Returns a function that writes a picture of random blocks, 170x130, and returns its path."""

    def write(name: str, mode: str = "RGB", **options):
        bands = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
        blocks = rng.integers(0, 256, (13, 17, *bands), dtype=np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((10, 10, *(1 for _ in bands)), np.uint8))).save(
            tmp_path / name, **options
        )
        return tmp_path / name

    return write


def same_in_memory(stylizer, path, **options):
    """Returns what the stylizer makes of the picture in memory, in one piece."""
    return stylizer(read_picture(path).pixels, tile=None, **options)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_streamed_equals_in_memory(suffix, mode, stylizer, photo):
    path = photo(f"photo{suffix}", mode)
    target = stylizer(path, tile=40)
    assert target == path.with_name(f"photo_tiny{suffix}")
    assert [found.name for found in path.parent.iterdir() if found not in (path, target)] == []
    styled = read_picture(target)
    assert np.abs(styled.pixels.astype(int) - same_in_memory(stylizer, path)).max() <= 1
    alpha = read_picture(path).alpha
    assert (styled.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(styled.alpha, alpha)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits"])
def test_tiff_files_of_other_programs(compression, stylizer, photo):
    path = photo("photo.tif", compression=compression)
    target = stylizer(path, output=path.with_name("out.png"))
    np.testing.assert_allclose(read_picture(target).pixels, same_in_memory(stylizer, path), atol=1)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_it_comes_out_upright_with_profile_and_exif(orientation, stylizer, photo):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = orientation, "camera"
    path = photo("photo.png", icc_profile=profile, exif=exif)
    target = stylizer(path, tile=32)
    np.testing.assert_allclose(read_picture(target).pixels, same_in_memory(stylizer, path), atol=1)
    with Image.open(target) as styled:
        assert styled.size == ((170, 130) if orientation < 5 else (130, 170))
        assert styled.info["icc_profile"] == profile
        assert styled.getexif()[ExifTags.Base.Make] == "camera"
        assert styled.getexif().get(ExifTags.Base.Orientation, 1) == 1


def test_jpeg_and_webp(stylizer, photo):
    path = photo("photo.jpg", quality=95, subsampling=0)
    for suffix, error in ((".jpg", 2), (".webp", 10)):  # WebP halves the resolution of colour
        target = stylizer(path, output=path.with_name(f"out{suffix}"), tile=64)
        difference = np.abs(read_picture(target).pixels.astype(int) - same_in_memory(stylizer, path))
        assert difference.mean() < error
    # JPEG has no alpha: it is left out, not painted in.
    path = photo("photo.png", "RGBA")
    found = read_picture(stylizer(path, output=path.with_name("flat.jpg")))
    assert found.alpha is None
    assert np.abs(found.pixels.astype(int) - same_in_memory(stylizer, path)).mean() < 3


def test_strength_and_max_side(stylizer, photo):
    path = photo("photo.png")
    half = read_picture(stylizer(path, strength=0.5, tile=32)).pixels
    np.testing.assert_allclose(half, same_in_memory(stylizer, path, strength=0.5), atol=1)
    small = read_picture(stylizer(path, max_side=85, output=path.with_name("small.png"))).pixels
    assert small.shape == (65, 85, 3)
    assert np.abs(small.astype(int) - same_in_memory(stylizer, path, max_side=85)).mean() < 5


def test_16_bits_become_8(stylizer, tmp_path):
    grey = (np.arange(60 * 50, dtype=np.uint16).reshape(60, 50) * 20).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "scan.png")
    found = read_picture(stylizer(tmp_path / "scan.png")).pixels
    np.testing.assert_allclose(found, same_in_memory(stylizer, tmp_path / "scan.png"), atol=2)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("F", ".tif"), ("I", ".tif"), ("I;16", ".tif"), ("CMYK", ".tif"), ("CMYK", ".jpg")]
)
def test_other_kinds_of_numbers_and_colours_are_read_as_in_memory(mode, suffix, stylizer, tmp_path, rng):
    blocks = np.kron(rng.integers(0, 256, (13, 17, 4)), np.ones((10, 10, 1), int))
    pixels = {
        "F": (blocks[..., 0] * 1.2 - 20.3).astype(np.float32),
        "I": blocks[..., 0].astype(np.int32) * 300,
        "I;16": blocks[..., 0].astype(np.uint16) * 257,
        "CMYK": blocks.astype(np.uint8),
    }[mode]
    path = tmp_path / f"scan{suffix}"
    picture = Image.frombytes(mode, (170, 130), pixels.tobytes())
    assert picture.mode == mode
    picture.save(path)
    photo = read_picture(stylizer(path, strength=0, tile=40, output=tmp_path / "photo.png")).pixels
    np.testing.assert_array_equal(photo, read_picture(path).pixels)
    styled = read_picture(stylizer(path, tile=40, output=tmp_path / "styled.png")).pixels
    np.testing.assert_allclose(styled, same_in_memory(stylizer, path), atol=1)


def test_small_pictures_need_no_pyvips(stylizer, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyvips", None)
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    assert stylizer(tmp_path / "small.png").exists()
    Image.new("RGB", (200, 20)).save(tmp_path / "large.png")
    with pytest.raises(MissingExtraError, match=r"100 megapixels needs pyvips: pip install 'animegan-tf\[large\]'"):
        stylizer(tmp_path / "large.png")


def test_what_cannot_be_streamed_is_one_sentence(stylizer, photo):
    path = photo("photo.png")
    with pytest.raises(
        ImageError, match=r"photo.png: a picture of this size is read and written as .jpeg, .*not as .gif"
    ):
        stylizer(path, output=path.with_name("out.gif"))
    with pytest.raises(ImageError, match="photo.gif: .*, not as GIF"):
        stylizer(photo("photo.gif"))
    with pytest.raises(ImageError, match="more than the limit of 0.005 megapixels"):
        stylizer(path, max_pixels=5000)


def test_a_truncated_picture_leaves_nothing_behind(stylizer, photo):
    path = photo("photo.png")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageError, match=r"photo.png cannot be stylized to .*photo_tiny.png \(.+[^.]\)\.$"):
        stylizer(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to(stylizer, photo):
    path = photo("photo.png")
    with pytest.raises(ImageError, match="Cannot write .*out.png: "):
        stylizer(path, output=path / "out.png")


def test_rows_are_decoded_once_and_kept_as_long_as_they_are_asked_for(photo):
    import pyvips

    path = photo("photo.png")
    pixels = read_picture(path).pixels
    rows = large._Rows(pyvips, pyvips.Image.pngload(str(path), access="sequential"))
    for first, last in ((0, 50), (10, 20), (40, 90), (60, 130), (125, 130)):
        np.testing.assert_array_equal(rows(first, last), pixels[first:last])
    assert len(rows._kept) == 70


def test_rows_that_were_skipped_are_not_given_for_others(photo):
    import pyvips

    path = photo("photo.png")
    pixels = read_picture(path).pixels
    rows = large._Rows(pyvips, pyvips.Image.pngload(str(path), access="sequential"))
    for first, last in ((0, 10), (20, 30), (25, 40), (90, 130)):
        np.testing.assert_array_equal(rows(first, last), pixels[first:last])
    assert len(rows._kept) == 40
