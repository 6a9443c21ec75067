"""Stylizer: the same kind out as in, the same size, exact values, nothing overwritten."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

import animegan_tf
from animegan_tf.errors import ImageError, StyleError, UnknownNameError, UsageError
from animegan_tf.images import pad_to_multiple, read_picture, to_float, to_uint8
from animegan_tf.manifest import read_manifest, write_manifest
from animegan_tf.runtime import stylizer as module
from animegan_tf.runtime.backends import BACKENDS
from animegan_tf.runtime.stylizer import Stylizer, find_style, list_styles, read_style


@pytest.fixture(scope="module")
def stylizer(tiny_style):
    """Returns the tiny style loaded with the default backend."""
    return Stylizer.load(tiny_style)


@pytest.fixture
def expected(tiny_reference):
    """Returns a function: [H, W, 3] uint8 -> what the tiny style makes of it, padding included."""

    def compute(pixels):
        height, width = pixels.shape[:2]
        return to_uint8(tiny_reference(to_float(pad_to_multiple(pixels, 8, 32))))[:height, :width]

    return compute


@pytest.fixture
def shipped(tiny_style, tmp_path, monkeypatch):
    """Lets the package ship 'tiny' and 'other', and a folder that is no style; returns the styles folder."""
    for name in ("tiny", "other"):
        shutil.copytree(tiny_style, tmp_path / "styles" / name)
    (tmp_path / "styles" / "__pycache__").mkdir()
    monkeypatch.setattr(module, "_STYLES_FOLDER", tmp_path / "styles")
    return tmp_path / "styles"


def assert_within_a_level(actual, expected):
    assert actual.dtype == np.uint8
    np.testing.assert_allclose(actual.astype(int), expected, atol=1)


# Which style


def test_package_offers_the_stylizer_by_name():
    assert animegan_tf.Stylizer is Stylizer
    assert animegan_tf.list_styles is list_styles


def test_list_styles_are_the_folders_with_a_manifest(shipped):
    assert list_styles() == {"other": shipped / "other", "tiny": shipped / "tiny"}


def test_shipped_name_wins_over_a_folder_of_that_name(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "mine").mkdir()
    assert find_style("tiny") == shipped / "tiny"
    assert find_style("./tiny").resolve() == tmp_path / "tiny"
    assert find_style("mine").resolve() == tmp_path / "mine"
    assert read_style("tiny").name == "tiny"


@pytest.mark.parametrize("name", ["tinny", ""])
def test_unknown_name_lists_the_known(name, shipped):
    with pytest.raises(UnknownNameError, match=f"Unknown style '{name}': known are other, tiny."):
        Stylizer.load(name)


def test_folder_that_is_missing_or_no_style(tmp_path):
    with pytest.raises(UsageError, match="nix: no such style folder"):
        Stylizer.load(tmp_path / "nix")
    with pytest.raises(StyleError, match="is not a style folder"):
        Stylizer.load(tmp_path)


# Arrays


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(37, 50), (64, 40), (1, 1), (1, 33), (31, 2)])
def test_any_size_equals_the_network_on_the_reflected_picture(
    backend, shape, tiny_style, tiny_reference, expected, rng
):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = pixels.copy()
    # A SavedModel pads by itself; the tiny one needs none and does not.
    reference = to_uint8(tiny_reference(to_float(pixels))) if backend == "saved_model" else expected(pixels)
    assert_within_a_level(Stylizer.load(tiny_style, backend)(pixels), reference)
    np.testing.assert_array_equal(pixels, before)


def test_strength_blends_linearly(stylizer, rng):
    photo = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    style = stylizer(photo)
    np.testing.assert_array_equal(stylizer(photo, strength=0), photo)
    half = (photo.astype(np.float32) + style) / 2
    np.testing.assert_array_equal(stylizer(photo, strength=0.5), np.rint(half))
    quarter = photo + 0.25 * (style.astype(np.float32) - photo)
    np.testing.assert_array_equal(stylizer(photo, strength=0.25), np.rint(quarter))


@pytest.mark.parametrize(
    ("shape", "max_side", "result"),
    [
        ((40, 80), 20, (10, 20)),
        ((80, 40), 20, (20, 10)),
        ((40, 80), 80, (40, 80)),
        ((4, 4), 99, (4, 4)),
        ((1, 90), 9, (1, 9)),
    ],
)
def test_max_side_shrinks_and_never_enlarges(shape, max_side, result, stylizer):
    assert stylizer(np.zeros((*shape, 3), np.uint8), max_side=max_side).shape == (*result, 3)


def test_max_side_shrinks_with_lanczos_before_stylizing(stylizer, expected, rng):
    pixels = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(pixels).resize((40, 30), Image.Resampling.LANCZOS))
    assert_within_a_level(stylizer(pixels, max_side=40), expected(small))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), r"must be uint8 RGB \[height, width, 3\], not float32 \[8, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"not uint8 \[8, 8\]"),
        (np.zeros((8, 8, 4), np.uint8), r"not uint8 \[8, 8, 4\]"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"not uint8 \[1, 8, 8, 3\]"),
        (np.zeros((0, 8, 3), np.uint8), r"not uint8 \[0, 8, 3\]"),
        (42, "is a path, bytes, a PIL image or a NumPy array, not int"),
    ],
)
def test_wrong_pictures_are_usage_errors(image, message, stylizer):
    with pytest.raises(UsageError, match=message):
        stylizer(image, max_side=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.5}, r"strength must be between 0 .* not 1\.5"),
        ({"strength": -0.1}, "strength must be"),
        ({"strength": float("nan")}, "strength must be"),
        ({"max_side": 0}, "max_side must be at least 1 pixel, not 0"),
        ({"output": "out.png"}, "output is for a picture given by its path"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, stylizer):
    with pytest.raises(UsageError, match=message):
        stylizer(np.zeros((8, 8, 3), np.uint8), **options)


def test_stylize_takes_arrays_only(stylizer):
    with pytest.raises(UsageError, match="must be uint8 RGB"):
        stylizer.stylize(np.zeros((8, 8, 3)))


def test_too_little_memory_is_an_image_error(stylizer, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(stylizer.backend, "run_pixels", fail)
    with pytest.raises(ImageError, match="Not enough memory for a 9x8 picture"):
        stylizer(np.zeros((8, 9, 3), np.uint8))


def test_too_little_memory_for_a_file_names_it(stylizer, monkeypatch, tmp_path):
    def fail(*_):
        raise MemoryError

    Image.new("RGB", (9, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(module, "write_picture", fail)
    with pytest.raises(ImageError, match=r"^Not enough memory for .*a\.png: make tile or max_side smaller\.$"):
        stylizer(tmp_path / "a.png")


def test_what_the_format_cannot_hold_is_said_before_the_work(stylizer, monkeypatch, tmp_path):
    Image.new("RGB", (16400, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(stylizer.backend, "run_pixels", lambda *_, **__: pytest.fail("stylized for nothing"))
    with pytest.raises(ImageError, match=r"A 16400x8 picture cannot be written as \.webp, which ends at 16383"):
        stylizer(tmp_path / "a.png", output=tmp_path / "a.webp")
    with pytest.raises(ImageError, match=r"Cannot write \.bmp: use one of"):
        stylizer(tmp_path / "a.png", output=tmp_path / "a.bmp")


# PIL images and bytes


@pytest.mark.parametrize(("mode", "result"), [("RGB", "RGB"), ("L", "RGB"), ("RGBA", "RGBA"), ("LA", "RGBA")])
def test_pil_image_gives_a_pil_image(mode, result, stylizer, expected, rng):
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).convert(mode)
    styled = stylizer(image)
    assert (styled.mode, styled.size) == (result, (30, 20))
    assert_within_a_level(np.asarray(styled.convert("RGB")), expected(np.asarray(image.convert("RGB"))))


def test_alpha_is_kept_and_shrunk_along(stylizer):
    image = Image.new("RGBA", (40, 20), (10, 20, 30, 77))
    assert np.asarray(stylizer(image))[..., 3].tolist() == [[77] * 40] * 20
    assert np.asarray(stylizer(image, max_side=10))[..., 3].tolist() == [[77] * 10] * 5


@pytest.mark.parametrize(("format", "result"), [("JPEG", "JPEG"), ("PNG", "PNG"), ("WEBP", "WEBP"), ("GIF", "PNG")])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_give_bytes_of_the_same_format(format, result, kind, stylizer, expected):
    buffer = io.BytesIO()
    Image.new("RGB", (24, 40), (200, 100, 50)).save(buffer, format)
    styled = stylizer(kind(buffer.getvalue()))
    assert isinstance(styled, bytes)
    assert Image.open(io.BytesIO(styled)).format == result
    source, actual = read_picture(buffer.getvalue()).pixels, read_picture(styled).pixels
    error = np.abs(actual.astype(int) - expected(source))
    assert (error.max() <= 1) if result == "PNG" else (error.mean() < 2)


def test_max_pixels_limits_bytes_and_files(stylizer, tmp_path):
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    for image in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        with pytest.raises(ImageError, match="10x10 has more than the limit"):
            stylizer(image, max_pixels=99)


# Paths


@pytest.mark.parametrize("kind", [str, os.fspath, lambda path: path], ids=["str", "fspath", "Path"])
def test_path_gives_the_path_of_the_file_written_beside_it(kind, stylizer, expected, tmp_path, rng):
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    assert stylizer(kind(tmp_path / "photo.png")) == tmp_path / "photo_tiny.png"
    assert_within_a_level(read_picture(tmp_path / "photo_tiny.png").pixels, expected(pixels))


def test_output_names_the_file_and_its_format(stylizer, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    assert stylizer(tmp_path / "photo.png", output=tmp_path / "new" / "x.webp") == tmp_path / "new" / "x.webp"
    assert read_picture(tmp_path / "new" / "x.webp").suffix == ".webp"


def test_gif_file_gives_a_png_of_its_first_frame(stylizer, expected, tmp_path):
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    path = stylizer(tmp_path / "a.gif")
    assert path == tmp_path / "a_tiny.png"
    assert_within_a_level(read_picture(path).pixels, expected(np.asarray(frames[0])))


def test_nothing_is_overwritten_unless_asked(stylizer, tmp_path):
    photo, target = tmp_path / "photo.png", tmp_path / "photo_tiny.png"
    Image.new("RGB", (8, 8)).save(photo)
    target.write_bytes(b"precious")
    with pytest.raises(ImageError, match="photo_tiny.png exists already; --overwrite"):
        stylizer(photo)
    assert target.read_bytes() == b"precious"
    assert stylizer(photo, overwrite=True) == target
    assert read_picture(target).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_file_comes_out_upright_with_icc_profile_and_exif(suffix, stylizer, tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "camera"
    photo = tmp_path / f"photo{suffix}"
    Image.new("RGB", (40, 20)).save(photo, icc_profile=profile, exif=exif)
    with Image.open(stylizer(photo)) as styled:
        assert styled.size == (20, 40)
        assert styled.info["icc_profile"] == profile
        assert dict(styled.getexif()) == {ExifTags.Base.Make: "camera"}


def test_alpha_is_kept_by_png_and_dropped_by_jpeg(stylizer, tmp_path):
    Image.new("RGBA", (8, 8), (10, 20, 30, 40)).save(tmp_path / "a.png")
    assert read_picture(stylizer(tmp_path / "a.png")).alpha.tolist() == [[40] * 8] * 8
    assert read_picture(stylizer(tmp_path / "a.png", output=tmp_path / "a.jpg")).alpha is None


def test_missing_photo_is_an_image_error(stylizer, tmp_path):
    with pytest.raises(ImageError, match="nix.png: no such file"):
        stylizer(tmp_path / "nix.png")


def test_the_margin_of_a_style_is_added_and_cut_off(tiny_style, tiny_reference, tmp_path, rng):
    shutil.copytree(tiny_style, tmp_path / "style")
    manifest = read_manifest(tmp_path / "style")
    write_manifest(tmp_path / "style", dataclasses.replace(manifest, margin=4))
    pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    expected = to_uint8(tiny_reference(to_float(padded)))[4:44, 4:52]
    assert_within_a_level(Stylizer.load(tmp_path / "style")(pixels), expected)
