"""images: pictures of every kind are read and written safely."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from animegan_tf.errors import ImageError
from animegan_tf.images import (
    Picture,
    encode_picture,
    find_images,
    from_pil,
    portable_bytes,
    read_header,
    read_picture,
    read_thumbnail,
    to_pil,
    write_atomic,
    write_picture,
)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif_with(**tags) -> Image.Exif:
    exif = Image.Exif()
    for name, value in tags.items():
        exif[ExifTags.Base[name]] = value
    return exif


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def png_header(width: int, height: int) -> bytes:
    """Returns a PNG that claims width x height and holds one compressed byte: some 70 bytes of file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


# Reading


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Returns the pixels as a camera stores them that wants them shown by this EXIF orientation as `upright`."""
    turned = upright.swapaxes(0, 1) if orientation >= 5 else upright
    flips = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}
    rows, columns = flips[orientation]
    return turned[::rows, ::columns]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_removed(orientation, rng):
    upright = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)
    exif = exif_with(Orientation=orientation, Make="camera")
    stored = Image.fromarray(np.ascontiguousarray(stored_as(upright, orientation)))
    picture = read_picture(encoded(stored, exif=exif))
    np.testing.assert_array_equal(picture.pixels, upright)
    kept = Image.open(io.BytesIO(encode_picture(picture, ".jpg"))).getexif()
    assert dict(kept) == {ExifTags.Base.Make: "camera"}


def test_a_tag_of_a_wrong_kind_does_not_leave_a_photo_on_its_side():
    """Orientation 6 and a resolution unit that is a fraction, which Pillow reads and cannot write."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, 6) + struct.pack("<HHII", 0x0128, 5, 1, 38)
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<III", 0, 2, 1)
    data = encoded(Image.new("RGB", (8, 4)), "JPEG", exif=block)
    picture = read_picture(data)
    assert picture.pixels.shape == (8, 4, 3)


def test_exif_of_a_camera_goes_into_a_tiff_as_far_as_it_describes(rng):
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = exif_with(Make="camera", ImageWidth=3, ImageLength=2, PhotometricInterpretation=6, PlanarConfiguration=2)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    again = Image.open(io.BytesIO(encode_picture(Picture(pixels, exif=exif.tobytes()), ".tif")))
    np.testing.assert_array_equal(np.asarray(again), pixels)
    assert again.getexif()[ExifTags.Base.Make] == "camera"


@pytest.mark.parametrize(("format", "frames"), [("GIF", 3), ("TIFF", 2), ("WEBP", 3), ("PNG", 1)])
def test_that_only_the_first_frame_is_read_is_said(tmp_path, caplog, rng, format, frames):
    caplog.set_level("INFO", "animegan_tf")
    pictures = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(frames)]
    path = tmp_path / f"a.{format.lower()}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:])
    read_picture(path)
    said = [f"{path}: only the first of its {frames} frames is read."] if frames > 1 else []
    assert caplog.messages == said


def test_too_little_memory_is_not_called_damage(monkeypatch):
    def fail(_):
        raise MemoryError

    data = encoded(Image.new("RGB", (4, 3)))
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(ImageError, match="picture bytes: not enough memory for its 4x3 pixels"):
        read_picture(data)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_damaged_exif_does_not_cost_the_picture():
    data = encoded(Image.new("RGB", (4, 4), (10, 20, 30)), "JPEG", exif=b"Exif\0\0MM\0*garbage", quality=100)
    picture = read_picture(data)
    assert picture.exif is None
    np.testing.assert_allclose(picture.pixels, np.broadcast_to([10, 20, 30], (4, 4, 3)), atol=2)


@pytest.mark.parametrize(
    ("image", "rgb", "alpha"),
    [
        (Image.new("L", (2, 2), 100), (100, 100, 100), None),
        (Image.new("1", (2, 2), 1), (255, 255, 255), None),
        (Image.new("LA", (2, 2), (100, 7)), (100, 100, 100), 7),
        (Image.new("RGBA", (2, 2), (1, 2, 3, 4)), (1, 2, 3), 4),
        (Image.new("RGBA", (2, 2), (1, 2, 3, 255)), (1, 2, 3), 255),
        (Image.fromarray(np.full((2, 2), 0x8000, np.uint16)), (128, 128, 128), None),
        (Image.fromarray(np.full((2, 2), 0xFFFF, np.uint16)), (255, 255, 255), None),
        (Image.fromarray(np.full((2, 2), 0x01FF, np.uint16)), (1, 1, 1), None),
    ],
    ids=["grey", "bilevel", "grey-alpha", "rgba", "rgba-opaque", "16-bit-middle", "16-bit-white", "16-bit-dark"],
)
def test_png_modes(image, rgb, alpha):
    picture = read_picture(encoded(image))
    assert picture.pixels.shape == (2, 2, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels[1, 1].tolist() == list(rgb)
    assert (picture.alpha is None) if alpha is None else (picture.alpha == np.full((2, 2), alpha)).all()


def test_palette_with_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    picture = read_picture(encoded(image, transparency=1))
    assert picture.pixels.tolist() == [[[255, 0, 0], [0, 255, 0]]]
    assert picture.alpha.tolist() == [[255, 0]]


def test_cmyk_jpeg():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = read_picture(encoded(image, "JPEG", quality=100))
    np.testing.assert_allclose(picture.pixels, np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=3)


def test_gif_gives_its_first_frame():
    frames = [Image.new("RGB", (3, 2), color) for color in ((255, 0, 0), (0, 0, 255))]
    picture = read_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(np.array([255, 0, 0], np.uint8), (2, 3, 3)))


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("GIF", ".png"), ("MPO", ".jpg"), ("TIFF", ".tif")],
)
def test_suffix_is_the_format_to_encode_in_again(format, suffix):
    assert read_picture(encoded(Image.new("RGB", (8, 8)), format)).suffix == suffix


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"exif": exif_with(Orientation=6)}])
def test_tiff_is_read_and_written_without_loss(options, rng):
    pixels = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    picture = read_picture(encoded(Image.fromarray(pixels), "TIFF", **options))
    # What its tags say of the file itself is nothing for another one.
    assert picture.exif is None
    np.testing.assert_array_equal(picture.pixels, np.rot90(pixels, 3) if "exif" in options else pixels)
    picture.exif = exif_with(Make="camera").tobytes()
    again = Image.open(io.BytesIO(encode_picture(picture, ".tif")))
    np.testing.assert_array_equal(np.asarray(again), picture.pixels)
    assert again.getexif()[ExifTags.Base.Make] == "camera"


def test_a_header_is_read_without_the_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(3000, 2000))
    assert read_header(tmp_path / "a.png") == ("PNG", 3000, 2000)
    with pytest.raises(ImageError, match="3000x2000 has more than the limit of 5 megapixels"):
        read_header(tmp_path / "a.png", 5_000_000)
    with pytest.raises(ImageError, match="nix.png: no such file"):
        read_header(tmp_path / "nix.png")


def test_pil_image_that_never_was_a_file_has_suffix_png():
    assert from_pil(Image.new("RGB", (1, 1))).suffix == ".png"


def test_one_pixel_picture():
    picture = read_picture(encoded(Image.new("RGB", (1, 1), (9, 8, 7))))
    assert picture.pixels.tolist() == [[[9, 8, 7]]]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".TIFF"])
def test_icc_profile_survives(suffix):
    profile = srgb_profile()
    picture = read_picture(encoded(Image.new("RGB", (8, 8)), icc_profile=profile))
    assert read_picture(encode_picture(picture, suffix)).icc_profile == profile


def test_grey_icc_profile_is_dropped_because_the_result_is_rgb():
    profile = srgb_profile()
    grey = profile[:16] + b"GRAY" + profile[20:]
    assert read_picture(encoded(Image.new("L", (8, 8)), "JPEG", icc_profile=grey)).icc_profile is None


def test_truncated_jpeg_is_refused(rng):
    data = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)), "JPEG")
    with pytest.raises(ImageError, match="^picture bytes: the picture is damaged or truncated"):
        read_picture(data[: len(data) // 2])


@pytest.mark.parametrize(
    "content",
    [b"just text", b"", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"],
    ids=["text", "empty", "signature-only", "postscript"],
)
def test_what_is_no_picture_is_refused(content, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    for read in (read_picture, lambda path: read_thumbnail(path, 8)):
        with pytest.raises(ImageError, match=r"photo\.png: not a picture that can be read"):
            read(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"nix\.png: no such file"):
        read_picture(tmp_path / "nix.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read_picture(tmp_path)


def test_huge_picture_is_refused_from_its_header(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(20000, 20000))
    limit = Image.MAX_IMAGE_PIXELS
    for read in (read_picture, lambda path: read_thumbnail(path, 8)):
        with pytest.raises(ImageError, match="20000x20000 has more than the limit of 100 megapixels"):
            read(path)
    assert Image.MAX_IMAGE_PIXELS == limit


def test_size_limit_is_inclusive():
    data = encoded(Image.new("RGB", (10, 10)))
    assert read_picture(data, max_pixels=100).pixels.shape == (10, 10, 3)
    with pytest.raises(ImageError, match="10x10"):
        read_picture(data, max_pixels=99)


def test_damaged_pil_image_is_an_image_error(tmp_path, rng):
    path = tmp_path / "cut.png"
    data = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)))
    path.write_bytes(data[: len(data) // 2])
    with Image.open(path) as image, pytest.raises(ImageError, match="the PIL image: .* damaged or truncated"):
        from_pil(image)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((400, 200), 50, (50, 100)), ((200, 400), 50, (100, 50)), ((40, 30), 50, (30, 40)), ((101, 67), 33, (33, 50))],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_thumbnail_size(size, short_side, expected, suffix, tmp_path):
    path = tmp_path / f"photo{suffix}"
    Image.new("RGB", size, (50, 100, 150)).save(path)
    thumbnail = read_thumbnail(path, short_side)
    assert thumbnail.shape == (*expected, 3)
    np.testing.assert_allclose(thumbnail, np.broadcast_to([50, 100, 150], thumbnail.shape), atol=2)


def test_find_images_sorts_and_leaves_hidden_and_other_files_out(tmp_path):
    for name in ("b.JPG", "a.png", "sub/c.webp", "notes.txt", ".hidden.png", ".cache/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    assert find_images(tmp_path) == [tmp_path / "a.png", tmp_path / "b.JPG", tmp_path / "sub" / "c.webp"]


# Writing


@pytest.mark.parametrize("suffix", [".png", ".PNG"])
def test_png_round_trip_is_exact_with_alpha(suffix, tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, (5, 4), dtype=np.uint8)
    write_picture(tmp_path / f"out{suffix}", Picture(pixels, alpha))
    again = read_picture(tmp_path / f"out{suffix}")
    np.testing.assert_array_equal(again.pixels, pixels)
    np.testing.assert_array_equal(again.alpha, alpha)


def test_to_pil_carries_alpha_icc_profile_and_exif():
    exif = exif_with(Make="camera")
    profile = srgb_profile()
    image = to_pil(Picture(np.zeros((2, 3, 3), np.uint8), np.ones((2, 3), np.uint8), profile, exif.tobytes()))
    assert (image.mode, image.size, image.info["icc_profile"]) == ("RGBA", (3, 2), profile)
    assert image.getexif()[ExifTags.Base.Make] == "camera"


def test_exif_that_does_not_fit_into_jpeg_is_left_out():
    picture = Picture(np.zeros((8, 8, 3), np.uint8), exif=exif_with(ImageDescription="x" * 70000).tobytes())
    assert read_picture(encode_picture(picture, ".jpg")).exif is None
    assert read_picture(encode_picture(picture, ".png")).exif is not None


@pytest.mark.parametrize(
    ("suffix", "width", "message"),
    [
        (".bmp", 2, "Cannot write .bmp: use one of .jpg"),
        ("", 2, "Cannot write a file without suffix"),
        (".webp", 17000, "A 17000x1 picture cannot be written as .webp"),
    ],
)
def test_what_cannot_be_encoded_is_an_image_error(suffix, width, message):
    with pytest.raises(ImageError, match=message):
        encode_picture(Picture(np.zeros((1, width, 3), np.uint8)), suffix)


def _plain_file(image: Image.Image, path: Path, **options) -> bool:
    """Writes `image` and returns whether it counts as portable as it is; checks what it is turned into if not."""
    image.save(path, **options)
    picture = read_picture(path)
    data = portable_bytes(picture, path)
    if data != path.read_bytes():
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), picture.pixels)
        return False
    return True


def test_files_that_any_decoder_reads_alike_are_portable_as_they_are(rng, tmp_path):
    pixels = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    rgb, grey, exif = Image.fromarray(pixels), Image.fromarray(pixels[:, :, 0]), Image.Exif()
    assert _plain_file(rgb, tmp_path / "a.jpg") and _plain_file(rgb, tmp_path / "a.png")
    assert _plain_file(grey, tmp_path / "b.jpg") and _plain_file(grey, tmp_path / "b.png")
    exif[ExifTags.Base.Orientation] = 1
    assert _plain_file(rgb, tmp_path / "c.jpg", exif=exif)
    exif[ExifTags.Base.Orientation] = 6
    assert not _plain_file(rgb, tmp_path / "d.jpg", exif=exif) and not _plain_file(rgb, tmp_path / "d.png", exif=exif)
    assert not _plain_file(rgb, tmp_path / "e.webp") and not _plain_file(rgb.convert("P"), tmp_path / "e.gif")
    assert not _plain_file(rgb.convert("CMYK"), tmp_path / "f.jpg") and not _plain_file(
        rgb.convert("RGBA"), tmp_path / "f.png"
    )
    assert not _plain_file(rgb.convert("P"), tmp_path / "g.png") and not _plain_file(
        grey.convert("1"), tmp_path / "h.png"
    )
    assert not _plain_file(rgb, tmp_path / "i.png", transparency=(1, 2, 3))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(portable_bytes(Picture(pixels))))), pixels)


def test_write_makes_folders_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "folder" / "out.bin"
    for data in (b"first", b"second"):
        write_atomic(path, data)
    assert path.read_bytes() == b"second"
    assert os.listdir(path.parent) == ["out.bin"]


def test_written_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["file/out.png", "file/deeper/out.png", "folder"])
def test_unwritable_output_is_an_image_error_and_leaves_no_temporary_file(name, tmp_path):
    (tmp_path / "file").write_bytes(b"a file, not a folder: not even root can write below it")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImageError, match=f"Cannot write .*{Path(name).name}: "):
        write_atomic(tmp_path / name, b"data")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_file_in_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImageError, match="file is not a folder"):
        write_atomic(tmp_path / "file" / "x.png", b"")
