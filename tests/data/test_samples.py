"""Streams: what a sample depends on, which files are read, and what happens to those that cannot be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import edges, samples, sampling
from animegan_tf.data.augment import Augmentation
from animegan_tf.errors import ConfigError, DataError, ImageError

PLAIN = Augmentation(8)
RICH = Augmentation(8, 0.5, 0.9, 0.5, 0.1, 0.2)


def _write(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def _flat_folder(folder, count, size=8):
    """Pictures of one colour each, so that a sample tells its file: level 10 * number."""
    for number in range(count):
        _write(folder / f"{number:02d}.png", np.full((size, size, 3), 10 * number, np.uint8))
    return folder


def _noise_folder(folder, count, size=24):
    rng = np.random.default_rng(0)
    for number in range(count):
        _write(folder / f"{number}.png", rng.integers(0, 256, (size, size + number, 3), np.uint8))
    return folder


def _numbers(stream, indices):
    return [int(stream.sample(index)[0, 0, 0]) // 10 for index in indices]


def test_every_picture_comes_once_per_epoch_in_a_new_order(tmp_path):
    stream = samples.Stream(_flat_folder(tmp_path / "p", 12), "photo_dir", PLAIN, 7, "photo")
    epochs = [_numbers(stream, range(12 * epoch, 12 * epoch + 12)) for epoch in range(5)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_a_sample_depends_on_seed_and_index_alone(tmp_path):
    folder = _noise_folder(tmp_path / "p", 4)
    one = samples.Stream(folder, "photo_dir", RICH, 3, "photo")
    forwards = [one.sample(index) for index in range(20)]
    two = samples.Stream(folder, "photo_dir", RICH, 3, "photo", samples.PictureCache(10_000))
    with ThreadPoolExecutor(4) as pool:
        backwards = list(pool.map(two.sample, reversed(range(20))))[::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert forwards[0].shape == (8, 8, 3) and forwards[0].dtype == np.uint8


@pytest.mark.parametrize("other", [(8, "photo"), (7, "style"), (-7, "photo")])
def test_seeds_and_names_shuffle_and_change_apart(tmp_path, other):
    flat = _flat_folder(tmp_path / "flat", 12)
    first = samples.Stream(flat, "photo_dir", PLAIN, 7, "photo")
    second = samples.Stream(flat, "photo_dir", PLAIN, *other)
    assert _numbers(first, range(12)) != _numbers(second, range(12))
    noise = _noise_folder(tmp_path / "noise", 1)
    first = samples.Stream(noise, "photo_dir", RICH, 7, "photo")
    second = samples.Stream(noise, "photo_dir", RICH, *other)
    assert not np.array_equal(first.sample(0), second.sample(0))


def test_one_picture_is_cropped_anew_each_time(tmp_path):
    stream = samples.Stream(_noise_folder(tmp_path / "p", 1), "photo_dir", RICH, 0, "photo")
    assert len({stream.sample(index).tobytes() for index in range(6)}) == 6


def _exif_picture(path):
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = (255, 0, 0)  # stored: left half red; orientation 6 turns left to top
    exif = Image.Exif()
    exif[0x0112] = 6
    _write(path, image, exif=exif, quality=95, subsampling=0)


def test_every_kind_of_picture_is_read(tmp_path):
    colour = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    folder = tmp_path / "p"
    _write(folder / "UPPER.JPG", colour, quality=95)
    _write(folder / "sub" / "deep" / "a.webp", colour, lossless=True)
    _write(folder / "grey.png", colour[..., 0])
    _write(folder / "alpha.png", np.dstack([colour, np.full((8, 8), 128, np.uint8)]))
    Image.fromarray(colour).convert("CMYK").save(folder / "cmyk.jpeg", quality=95)
    Image.fromarray(colour).quantize(4).save(folder / "palette.gif")
    _exif_picture(folder / "turned.jpg")
    (folder / "notes.txt").write_text("not counted")
    stream = samples.Stream(folder, "photo_dir", PLAIN, 0, "photo")
    assert len(stream) == 7
    taken = {path.name: stream.read(path) for path in stream.files}
    assert not stream.broken
    for name in ("UPPER.JPG", "a.webp", "alpha.png", "cmyk.jpeg", "palette.gif"):
        assert abs(taken[name].astype(int) - colour).max() <= 8, name
    np.testing.assert_array_equal(taken["grey.png"], np.full((8, 8, 3), 200))
    assert taken["turned.jpg"].shape == (16, 8, 3)
    assert taken["turned.jpg"][2, 4, 0] > 240 and taken["turned.jpg"][13, 4, 0] < 15
    assert all(stream.sample(index).shape == (8, 8, 3) for index in range(7))


def _break_two(folder):
    (folder / "text.png").write_text("not a picture")
    rng = np.random.default_rng(0)
    _write(folder / "cut.jpg", rng.integers(0, 256, (64, 64, 3), np.uint8))
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])


def test_broken_files_are_listed_once_and_their_successor_stands_in(tmp_path):
    folder = _flat_folder(tmp_path / "p", 3)
    _break_two(folder)
    stream = samples.Stream(folder, "photo_dir", PLAIN, 1, "photo")
    assert len(stream) == 5
    epoch = _numbers(stream, range(5))
    assert set(epoch) == {0, 1, 2}
    assert sorted(path.name for path in stream.broken) == ["cut.jpg", "text.png"]
    assert all("." in sentence and "\n" not in sentence for sentence in stream.broken.values())
    again = samples.Stream(folder, "photo_dir", PLAIN, 1, "photo")
    assert _numbers(again, reversed(range(5))) == epoch[::-1]


def test_a_folder_of_broken_files_only_is_an_error_and_does_not_hang(tmp_path):
    folder = tmp_path / "p"
    folder.mkdir()
    _break_two(folder)
    stream = samples.Stream(folder, "photo_dir", PLAIN, 1, "photo")
    for _ in range(2):
        with pytest.raises(DataError, match="--photo_dir=.*none of its pictures can be read; the first: "):
            stream.sample(0)


@pytest.mark.parametrize("make", [False, True])
def test_missing_and_empty_folders_name_the_flag(tmp_path, make):
    if make:
        (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match=r"^--style_dir=.*p (holds no picture|does not exist)"):
        samples.Stream(tmp_path / "p", "style_dir", PLAIN, 1, "style")


def test_the_cache_decodes_once_and_respects_its_limit(tmp_path, monkeypatch):
    folder = _flat_folder(tmp_path / "p", 4)
    count = []
    real = images.read_thumbnail
    monkeypatch.setattr(images, "read_thumbnail", lambda *args: count.append(args) or real(*args))
    one = 8 * 8 * 3
    stream = samples.Stream(folder, "photo_dir", PLAIN, 0, "photo", samples.PictureCache(2 * one + one // 2))
    for epoch in range(3):
        count.clear()
        for index in range(4):
            stream.sample(4 * epoch + index)
        assert len(count) == (4 if epoch == 0 else 2)


def test_large_pictures_are_kept_at_the_size_the_smallest_crop_needs(tmp_path):
    _write(tmp_path / "p" / "a.png", np.zeros((90, 60, 3), np.uint8))
    stream = samples.Stream(tmp_path / "p", "photo_dir", Augmentation(16, 0.8, 1.0), 0, "photo")
    assert stream.read(stream.files[0]).shape == (30, 20, 3)


def _style(folder, smooth_dir=None, augmentation=RICH, seed=0):
    return samples.StyleSamples(samples.Stream(folder, "style_dir", augmentation, seed, "style"), smooth_dir)


def test_style_samples_are_colour_its_grey_and_the_grey_of_its_smoothed_self(tmp_path):
    style = _style(_noise_folder(tmp_path / "s", 2), augmentation=Augmentation(32, 0.5, 0.9, 0.5, 0.1, 0.2))
    anime, gray, smooth = style.sample(5)
    np.testing.assert_array_equal(anime, style.stream.sample(5))
    np.testing.assert_array_equal(gray, edges.to_gray(anime))
    np.testing.assert_array_equal(smooth, edges.to_gray(edges.smooth_edges(anime)))
    assert not np.array_equal(gray, smooth)
    assert [part.dtype for part in (anime, gray, smooth)] == [np.uint8] * 3


def test_a_smooth_folder_gives_the_same_region_with_the_same_changes(tmp_path):
    folder, smooth_dir = tmp_path / "s", tmp_path / "smooth"
    for number in range(3):
        ramp = np.add.outer(np.arange(40) * 3, np.arange(50) * 2 + 10 * number).astype(np.uint8)
        picture = np.stack([ramp, ramp // 2, ramp], -1)
        _write(folder / "sub" / f"{number}.webp", picture, lossless=True)
        _write(smooth_dir / "sub" / f"{number}.png", picture)
    style = _style(folder, smooth_dir)
    for index in range(12):  # the 'smoothed' files are plain copies, so each sample must equal its grey
        _, gray, smooth = style.sample(index)
        np.testing.assert_array_equal(gray, smooth)


def test_the_tools_copies_pair_with_their_originals(tmp_path):
    folder = _noise_folder(tmp_path / "s", 2, size=8)
    edges.smooth_folder(folder, tmp_path / "smooth", size=8, overwrite=False, progress=False)
    paired = _style(folder, tmp_path / "smooth", Augmentation(8)).sample(0)[2]
    style = _style(folder, augmentation=Augmentation(8))
    square = next(path for path in style.stream.files if style.stream.read(path).shape == (8, 8, 3))
    full = edges.to_gray(edges.smooth_edges(style.stream.read(square)))
    taken = [_style(folder, tmp_path / "smooth", Augmentation(8)).sample(index)[2] for index in range(2)]
    assert any(np.array_equal(full, sample) for sample in taken) and paired.shape == (8, 8, 3)


def test_a_missing_copy_names_the_picture_and_the_tool(tmp_path):
    folder = _noise_folder(tmp_path / "s", 2)
    _write(tmp_path / "smooth" / "0.png", np.zeros((24, 24, 3), np.uint8))
    with pytest.raises(DataError, match=r"has no copy of .*1\.png: make it by tools/smooth_edges\.py\."):
        _style(folder, tmp_path / "smooth")


def test_a_broken_style_picture_needs_no_copy(tmp_path):
    folder = _noise_folder(tmp_path / "s", 2)
    (folder / "broken.png").write_text("x")
    edges.smooth_folder(folder, tmp_path / "smooth", size=None, overwrite=False, progress=False)
    style = _style(folder, tmp_path / "smooth")
    assert [path.name for path in style.stream.broken] == ["broken.png"]
    assert style.sample(0)[0].shape == (8, 8, 3)


def test_a_broken_copy_counts_as_a_broken_pair(tmp_path):
    folder = _noise_folder(tmp_path / "s", 2, size=24)
    edges.smooth_folder(folder, tmp_path / "smooth", size=None, overwrite=False, progress=False)
    (tmp_path / "smooth" / "0.png").write_text("x")
    style = _style(folder, tmp_path / "smooth")
    for index in range(4):
        style.sample(index)
    assert [path.name for path in style.stream.broken] == ["0.png"]
    assert "smooth" in style.stream.broken[folder / "0.png"]


def test_a_copy_of_other_proportions_is_refused(tmp_path):
    _write(tmp_path / "s" / "a.png", np.zeros((20, 40, 3), np.uint8))
    _write(tmp_path / "smooth" / "a.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(DataError, match="other proportions"):
        _style(tmp_path / "s", tmp_path / "smooth").sample(0)


def test_two_pictures_may_not_share_a_copy(tmp_path):
    _write(tmp_path / "s" / "a.png", np.zeros((8, 8, 3), np.uint8))
    _write(tmp_path / "s" / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    _write(tmp_path / "smooth" / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="would share one picture"):
        _style(tmp_path / "s", tmp_path / "smooth")


def test_first_readable_wraps_around_the_epoch(tmp_path):
    stream = samples.Stream(_flat_folder(tmp_path / "p", 3), "photo_dir", PLAIN, 0, "photo")
    order = [stream.first_readable(index, lambda path: path) for index in range(3)]

    def all_but(path):
        if path == order[2]:
            raise ImageError("no.")
        return path

    assert stream.first_readable(2, all_but) == order[0]


def _weighted(folder, expected, seed=0, files=None):
    frequencies = sampling.Frequencies(np.array(expected), np.zeros(len(expected), int))
    return samples.Stream(folder, "style_dir", PLAIN, seed, "style", files=files, frequencies=frequencies)


def test_frequencies_set_how_often_a_picture_comes_in_every_epoch(tmp_path):
    folder = _flat_folder(tmp_path / "p", 4)
    stream = _weighted(folder, [2.0, 1.0, 0.5, 0.5])
    epochs = [_numbers(stream, range(4 * epoch, 4 * epoch + 4)) for epoch in range(30)]
    assert all(sorted(epoch) in ([0, 0, 1, 2], [0, 0, 1, 3]) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 10
    again = _weighted(folder, [2.0, 1.0, 0.5, 0.5])
    assert _numbers(again, reversed(range(120))) == [number for epoch in epochs for number in epoch][::-1]
    other = _weighted(folder, [2.0, 1.0, 0.5, 0.5], seed=1)
    assert _numbers(other, range(120)) != [number for epoch in epochs for number in epoch]


def test_only_the_given_files_are_read(tmp_path):
    folder = _flat_folder(tmp_path / "p", 5)
    stream = samples.Stream(folder, "style_dir", PLAIN, 0, "style", files=[folder / "01.png", folder / "03.png"])
    assert len(stream) == 2 and set(_numbers(stream, range(6))) == {1, 3}


def test_a_picture_that_an_epoch_lacks_stands_in_when_all_of_the_epoch_are_broken(tmp_path):
    folder = _flat_folder(tmp_path / "p", 2)
    (folder / "00.png").write_text("not a picture")
    stream = _weighted(folder, [2.0, 0.0])
    assert _numbers(stream, range(4)) == [1, 1, 1, 1]


def test_the_source_of_a_sample_is_the_file_that_stands_in(tmp_path):
    folder = _flat_folder(tmp_path / "p", 3)
    _break_two(folder)
    stream = samples.Stream(folder, "photo_dir", PLAIN, 1, "photo")
    for index in range(5):
        path, picture = stream.source(index)
        assert picture[0, 0, 0] == 10 * int(path.stem)
        np.testing.assert_array_equal(stream.sample(index), picture)


def test_noise_is_normal_and_its_own_for_every_sample(tmp_path):
    folder = _flat_folder(tmp_path / "p", 1)
    stream = samples.Stream(folder, "photo_dir", PLAIN, 1, "photo")
    noise = np.stack([stream.noise(index, 16) for index in range(500)])
    assert noise.dtype == np.float32 and len(np.unique(noise)) > 7900
    assert abs(noise.mean()) < 0.04 and abs(noise.std() - 1) < 0.04
    np.testing.assert_array_equal(stream.noise(7, 16), noise[7])


def test_salt_is_white_specks_inside_and_nothing_else(rng):
    image = rng.integers(0, 200, (60, 50, 3), np.uint8)
    salted = edges.add_salt(image, np.random.default_rng(0), share=0.1)
    white = (salted == 255).all(axis=-1)
    # 300 draws with repetition of 58 * 48 places: 2784 * (1 - (1 - 1 / 2784) ** 300) = 284.5 different ones.
    assert abs(white.sum() - 284.5) < 15
    assert not white[[0, -1]].any() and not white[:, [0, -1]].any()
    assert white[1].any() and white[-2].any() and white[:, 1].any() and white[:, -2].any()
    np.testing.assert_array_equal(salted[~white], image[~white])
    assert edges.add_salt(image, rng, share=0.0) is image


@pytest.mark.parametrize("with_folder", [False, True])
def test_salt_changes_the_smooth_sample_alone(tmp_path, with_folder):
    folder = _noise_folder(tmp_path / "s", 2)
    smooth_dir = tmp_path / "smooth" if with_folder else None
    if with_folder:
        edges.smooth_folder(folder, smooth_dir, size=None, overwrite=False, progress=False)
    plain = _style(folder, smooth_dir)
    salted = samples.StyleSamples(plain.stream, smooth_dir, 0.2)
    places = []
    for index in range(4):
        before, after = plain.sample(index), salted.sample(index)
        np.testing.assert_array_equal(before[:2], after[:2])
        changed = (before[2] != after[2]).any(axis=-1)
        assert (after[2][changed] == 255).all() and 8 <= changed.sum() <= round(0.2 * 64)
        np.testing.assert_array_equal(after, salted.sample(index))
        places.append(changed.tobytes())
    assert len(set(places)) == 4


def test_an_impossible_share_of_salt_is_named(tmp_path):
    stream = samples.Stream(_flat_folder(tmp_path / "s", 1), "style_dir", PLAIN, 0, "style")
    with pytest.raises(ConfigError, match="smooth_salt=1.5"):
        samples.StyleSamples(stream, None, 1.5)
