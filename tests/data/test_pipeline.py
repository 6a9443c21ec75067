"""Batches: tf.data and NumPy give the same bits, from any step, and errors come out as sentences."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import pipeline
from animegan_tf.data.augment import Augmentation
from animegan_tf.errors import ConfigError, DataError, TrainingError

AUGMENTATION = Augmentation(16, 0.6, 1.0, 0.5, 0.1, 0.1)


def _write_noise(folder, count, seed):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def folders(tmp_path):
    return {
        "photo_dir": _write_noise(tmp_path / "photo", 5, 0),
        "style_dir": _write_noise(tmp_path / "style", 3, 1),
        "smooth_dir": None,
    }


def _build(folders, seed=1, **changes):
    arguments = {"photo_augmentation": AUGMENTATION, "style_augmentation": AUGMENTATION, "seed": seed}
    return pipeline.build_samples(**folders | arguments | changes)


def _arrays(samples, count, **options):
    batches = pipeline.array_batches(samples, 2, **options)
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def _assert_equal(first, second):
    assert len(first) == len(second)
    for one, two in zip(first, second, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_a_batch_holds_the_samples_of_its_indices(folders):
    samples = _build(folders)
    batch = _arrays(samples, 4)[3]
    assert list(batch) == ["photo", "anime", "anime_gray", "anime_smooth"]
    for place, index in enumerate((6, 7)):
        anime, gray, smooth = samples.style.sample(index)
        expected = {"photo": samples.photo.sample(index), "anime": anime, "anime_gray": gray, "anime_smooth": smooth}
        for name, pixels in expected.items():
            np.testing.assert_array_equal(batch[name][place], images.to_float(pixels), err_msg=name)
    assert all(array.shape == (2, 16, 16, 3) and array.dtype == np.float32 for array in batch.values())
    assert all(-1 <= array.min() < array.max() <= 1 for array in batch.values())


def test_same_seed_same_batches_whatever_the_threads_and_the_cache(folders):
    first = _arrays(_build(folders), 5, threads=1)
    second = _arrays(_build(folders, cache_mb=1), 5, threads=4)
    _assert_equal(first, second)
    other = _arrays(_build(folders, seed=2), 1)
    assert not np.array_equal(first[0]["photo"], other[0]["photo"])


def test_start_skips_whole_batches(folders):
    _assert_equal(_arrays(_build(folders), 6)[4:], _arrays(_build(folders), 2, start=4))


def test_tf_data_equals_numpy_bit_for_bit(folders):
    dataset = pipeline.build_dataset(_build(folders), 2)
    assert {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in dataset.element_spec.items()} == {
        name: ([2, 16, 16, 3], "float32") for name in pipeline.STREAMS
    }
    taken = list(dataset.take(6).as_numpy_iterator())
    _assert_equal(taken, _arrays(_build(folders), 6))
    resumed = pipeline.build_dataset(_build(folders), 2, start=4, parallel=3)
    _assert_equal(taken[4:], list(resumed.take(2).as_numpy_iterator()))


def test_all_256_levels_are_converted_exactly_in_tf_data(tmp_path):
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for name in ("photo", "style"):
        (tmp_path / name).mkdir()
        Image.fromarray(ramp).save(tmp_path / name / "ramp.png")
    folders = {"photo_dir": tmp_path / "photo", "style_dir": tmp_path / "style", "smooth_dir": None}
    samples = _build(folders, photo_augmentation=Augmentation(16), style_augmentation=Augmentation(16))
    batch = next(pipeline.build_dataset(samples, 1).as_numpy_iterator())
    np.testing.assert_array_equal(batch["photo"][0], images.to_float(ramp))
    np.testing.assert_array_equal(batch["anime_gray"][0], images.to_float(ramp))


def test_the_pipelines_functions_also_run_eagerly(folders):
    import tensorflow as tf
    from tensorflow.python.data.ops import debug_mode  # the public API can only switch it on

    expected = _arrays(_build(folders), 2)
    tf.data.experimental.enable_debug_mode()
    try:
        taken = list(pipeline.build_dataset(_build(folders), 2).take(2).as_numpy_iterator())
    finally:
        debug_mode.toggle_debug_mode(False)
    _assert_equal(taken, expected)


def test_an_epoch_is_one_pass_through_the_longer_stream(folders):
    samples = _build(folders)
    assert [samples.epoch_steps(batch) for batch in (1, 2, 5, 8)] == [5, 2, 1, 1]


def test_the_streams_shuffle_apart(folders):
    samples = _build(folders | {"style_dir": folders["photo_dir"]})
    orders = [[stream.first_readable(i, lambda path: path.name) for i in range(5)] for stream in _streams(samples)]
    assert sorted(orders[0]) == sorted(orders[1]) and orders[0] != orders[1]


def _streams(samples):
    return samples.photo, samples.style.stream


def test_broken_files_of_both_streams_are_listed(folders):
    for name in ("photo_dir", "style_dir"):
        (folders[name] / "text.png").write_text("not a picture")
    samples = _build(folders)
    assert samples.broken() == []
    _arrays(samples, 3)
    assert all(name in sentence for name, sentence in zip(("photo/text", "style/text"), samples.broken(), strict=True))
    assert len(samples.broken()) == 2 and samples.failure is None


def _break_all(folder):
    for path in folder.iterdir():
        path.write_text("not a picture")


def test_numpy_batches_raise_the_data_error_and_stop_their_threads(folders):
    _break_all(folders["photo_dir"])
    samples = _build(folders)
    before = set(threading.enumerate())
    with pytest.raises(DataError, match="--photo_dir=.*none of its pictures can be read") as caught:
        next(pipeline.array_batches(samples, 2))
    assert samples.failure is not None and str(caught.value) == str(samples.failure)
    assert set(threading.enumerate()) <= before


def test_tf_data_raises_the_same_data_error_inside_user_errors(folders):
    _break_all(folders["style_dir"])
    samples = _build(folders)
    with pytest.raises(
        DataError, match=r"^--style_dir=.*none of its pictures can be read; the first: .*\.png: not a picture"
    ):
        with pipeline.user_errors(samples):
            next(iter(pipeline.build_dataset(samples, 2)))


def test_errors_of_another_origin_pass_through_user_errors(folders):
    samples = _build(folders)
    samples.failure = DataError("met while reading ahead")
    for error in (ZeroDivisionError("a bug"), TrainingError("The loss is NaN.")):
        with pytest.raises(type(error)) as caught, pipeline.user_errors(samples):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("flag", ["photo_dir", "style_dir", "smooth_dir"])
def test_a_missing_folder_is_named_by_its_flag(folders, flag):
    with pytest.raises(DataError) as caught:
        _build(folders | {flag: Path("/nowhere/at/all")})
    assert str(caught.value) == f"--{flag}=/nowhere/at/all does not exist."


def test_the_two_image_sizes_must_agree(folders):
    with pytest.raises(ConfigError, match="one image_size"):
        _build(folders, photo_augmentation=Augmentation(8))


def test_numpy_batches_load_no_tensorflow():
    program = "import sys, animegan_tf.data.pipeline; sys.exit('tensorflow' in sys.modules or 'cv2' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
