"""Checking the pictures of a training: what is left out, what is named, and what counts as the same picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from animegan_tf.data import check
from animegan_tf.data.check import check_pictures, difference_hash
from animegan_tf.errors import DataError


def _picture(seed: int, side: int = 96) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(small).resize((side + 16, side), Image.Resampling.BICUBIC)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Returns (photo_dir, style_dir) with 20 and 8 different pictures, 112x96."""
    for kind, seeds in (("photo", range(20)), ("style", range(100, 108))):
        (tmp_path / kind).mkdir()
        for seed in seeds:
            _picture(seed).save(tmp_path / kind / f"{seed:03d}.png")
    return tmp_path / "photo", tmp_path / "style"


def _check(folders, **changes):
    sides = {"smallest_side": 32, "good_side": 64} | changes
    return check_pictures(*folders, **sides)


def test_good_folders_are_usable_and_the_advice_says_how_many_there_should_be(folders):
    found = _check(folders)
    found.require_enough()
    assert (len(found.photo.usable), len(found.style.usable)) == (20, 8)
    lines = found.report().splitlines()
    assert lines[0] == f"style pictures: 8 of 8 can be used ({folders[1]})"
    assert lines[1].startswith("  30 or more are advised: ")
    assert lines[2] == f"photos: 20 of 20 can be used ({folders[0]})"
    assert lines[3].startswith("  500 or more are advised: ") and len(lines) == 4


def test_unreadable_and_tiny_pictures_are_left_out_and_named(folders):
    photo_dir, _ = folders
    whole = (photo_dir / "000.png").read_bytes()
    (photo_dir / "000.png").write_bytes(whole[: len(whole) // 2])
    (photo_dir / "text.jpg").write_text("no picture")
    _picture(50, 31).save(photo_dir / "tiny.png")
    found = _check(folders).photo
    assert (found.total, len(found.usable)) == (22, 19)
    assert sorted(path.name for path in found.unreadable) == ["000.png", "text.jpg"]
    assert [path.name for path in found.tiny] == ["tiny.png"]
    report = _check(folders).report()
    assert "left out, too small: tiny.png (47x31 px)" in report
    assert "000.png: the picture is damaged" in report and "text.jpg: not a picture" in report


def test_small_pictures_are_kept_and_named(folders):
    _picture(50, 63).save(folders[1] / "small.png")
    found = _check(folders).style
    assert [path.name for path in found.small] == ["small.png"] and folders[1] / "small.png" in found.usable
    assert "small, so enlarged and soft: small.png (79x63)" in _check(folders).report()


def test_sides_are_exact_up_to_the_measured_side(folders):
    assert _check(folders).style.median_side() == 64
    assert _check(folders, measured_side=200).style.median_side() == 96


def test_a_copy_is_left_out_the_first_is_kept(folders):
    photo_dir, _ = folders
    (photo_dir / "more").mkdir()
    shutil.copy(photo_dir / "003.png", photo_dir / "more/again.png")
    found = _check(folders).photo
    assert found.copies == {photo_dir / "more/again.png": photo_dir / "003.png"}
    assert len(found.usable) == 20
    assert "left out, a copy: more/again.png = 003.png" in _check(folders).report()


def test_photos_that_are_style_pictures_are_left_out(folders):
    photo_dir, style_dir = folders
    shutil.copy(style_dir / "100.png", photo_dir / "wave.png")
    found = _check(folders)
    assert found.photo.shared == {photo_dir / "wave.png": style_dir / "100.png"}
    assert len(found.photo.usable) == 20 and len(found.style.usable) == 8
    assert "left out, a style picture too: wave.png = 100.png" in found.report()


def test_the_same_folder_twice_leaves_no_photos(folders):
    with pytest.raises(DataError, match="--photo_dir=.* has 0 usable photos: at least 20 are needed, 500 or more"):
        _check((folders[1], folders[1])).require_enough()


def test_too_few_pictures_are_one_sentence(folders):
    (folders[1] / "100.png").unlink()
    found = _check(folders)
    with pytest.raises(DataError, match="--style_dir=.* has 7 usable style pictures: at least 8 are needed") as caught:
        found.require_enough()
    assert "\n" not in str(caught.value)


def test_a_missing_or_empty_folder_names_its_flag(folders, tmp_path):
    with pytest.raises(DataError, match="--style_dir=/nowhere does not exist"):
        _check((folders[0], Path("/nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--photo_dir=.*empty holds no picture"):
        _check((tmp_path / "empty", folders[1]))


def test_the_hash_says_which_cells_are_darker_than_their_right_neighbour():
    ramp = np.repeat(np.arange(0, 252, 28, dtype=np.uint8)[None, :, None], 8, 0).repeat(3, -1)
    assert ramp.shape == (8, 9, 3)
    assert difference_hash(ramp) == 2**64 - 1
    assert difference_hash(ramp[:, ::-1]) == 0
    ramp[0, 0] = 255  # the top left cell is now the brightest: the first bit falls
    assert difference_hash(ramp) == 2**63 - 1


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image.resize((70, 60), Image.Resampling.LANCZOS),
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),
        lambda image: image.crop((1, 1, 111, 95)),
    ],
    ids=["smaller", "darker", "cropped"],
)
def test_changed_copies_are_found_and_kept(folders, change):
    photo_dir, _ = folders
    change(_picture(7)).save(photo_dir / "changed.jpg", quality=60)
    found = _check(folders).photo
    assert found.alike == [[photo_dir / "007.png", photo_dir / "changed.jpg"]]
    assert len(found.usable) == 21
    assert "nearly the same: 007.png ~ changed.jpg" in _check(folders).report()


def test_flat_pictures_of_other_colours_are_not_alike(folders):
    """Both have the hash of no difference at all."""
    for name, color in (("blue", (40, 90, 200)), ("red", (200, 60, 50))):
        Image.new("RGB", (96, 96), color).save(folders[0] / f"{name}.png")
    assert _check(folders).photo.alike == []
    Image.new("RGB", (96, 96), (42, 92, 200)).save(folders[0] / "bluer.png")
    assert [[path.name for path in group] for group in _check(folders).photo.alike] == [["blue.png", "bluer.png"]]


def test_alike_pictures_chain_into_one_group():
    base = np.zeros((8, 8, 3), np.uint8)
    hashes = {"a": 0, "b": 0b11111, "c": 0b1111111111, "d": 2**63 - 1}
    seen = {Path(name): check.Seen((96, 96), name, bits, base) for name, bits in hashes.items()}
    assert check.alike_groups(seen) == [[Path("a"), Path("b"), Path("c")]]


def test_style_pictures_without_colour_are_named(folders):
    _picture(60).convert("L").save(folders[1] / "gray.png")
    found = _check(folders)
    assert [path.name for path in found.style.gray] == ["gray.png"]
    assert "without colour, and their grey counts in the palette: gray.png" in found.report()


def test_many_names_are_cut_short(folders):
    for seed in range(50, 57):
        _picture(seed, 40).save(folders[0] / f"s{seed}.png")
    line = next(line for line in _check(folders).report().splitlines() if "small" in line)
    assert line.endswith("s54.png (56x40) and 2 more")
