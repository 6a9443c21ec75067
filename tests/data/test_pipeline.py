"""Batches: tf.data and NumPy give the same bits, from any step, and errors come out as sentences."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import faces, pipeline, regions
from animegan_tf.data.augment import Augmentation
from animegan_tf.errors import ConfigError, DataError, TrainingError, UnknownNameError

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


@pytest.fixture
def rich(tmp_path, folders):
    """Folders with two classes, landmarks of some photos, and every option in use."""
    _write_noise(folders["style_dir"] / "cel", 6, 2)
    _write_noise(folders["style_dir"] / "ink", 2, 3)
    (tmp_path / "weights.csv").write_text("picture,weight\ncel/0.png,3\nink/1.png,0.5\n")
    for number in (0, 1, 2):
        _write_landmarks(tmp_path / "landmarks" / f"{number}.json", 24, 20, (12, 10))
    augmentation = Augmentation(16, 0.6, 1.0, 0.5, 0.1, 0.1, 30.0, 0.2)
    return folders | {
        "photo_augmentation": augmentation,
        "style_augmentation": augmentation,
        "cache_mb": 1,
        "classes": ("ink", "cel"),
        "style_sampling": "balanced",
        "style_weights": tmp_path / "weights.csv",
        "smooth_salt": 0.1,
        "extras": ("teacher", "label", "noise", "face", "photo_regions"),
        "landmark_dir": tmp_path / "landmarks",
        "teacher": lambda photo: 255 - photo,
    }


def _write_landmarks(path, width, height, nose):
    """All five landmarks within 4 pixels of the nose."""
    x, y = nose
    points = {
        "left_eye": (x - 4, y), "right_eye": (x + 4, y), "nose": nose,
        "mouth_left": (x - 2, y + 2), "mouth_right": (x + 2, y + 2),
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"width": width, "height": height, "landmarks": points}))


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


def test_tf_data_equals_numpy_bit_for_bit_with_everything_asked_for(rich):
    samples = _build(rich)
    names = (*pipeline.STREAMS, "teacher", "label", "noise", "face", "photo_regions")
    assert samples.names == names and samples.classes == ("ink", "cel")
    dataset = pipeline.build_dataset(samples, 2)
    others = {"label": [2], "noise": [16], "face": [16, 16, 1]}
    assert {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in dataset.element_spec.items()} == {
        name: ([2, *others.get(name, [16, 16, 3])], "float32") for name in names
    }
    expected = _arrays(_build(rich), 10)
    assert list(expected[0]) == list(names)
    _assert_equal(list(dataset.take(10).as_numpy_iterator()), expected)
    resumed = pipeline.build_dataset(_build(rich | {"cache_mb": 0}), 2, start=4, parallel=3)
    _assert_equal(list(resumed.take(6).as_numpy_iterator()), expected[4:])


def test_extras_change_no_bit_of_the_streams(rich):
    asked = _arrays(_build(rich), 4)
    plain = _arrays(_build(rich | {"extras": ()}), 4)
    assert list(plain[0]) == list(pipeline.STREAMS)
    _assert_equal([{name: batch[name] for name in plain[0]} for batch in asked], plain)


def test_without_options_there_are_no_classes_and_every_picture_comes(rich, folders):
    samples = _build(folders)
    assert samples.classes == () and samples.names == pipeline.STREAMS
    assert len(samples.style) == 11  # those in the two sub-folders and the three beside them


def _flat(folder, *levels):
    folder.mkdir(parents=True)
    for level in levels:
        Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(folder / f"{level}.png")


def test_the_label_is_that_of_the_picture_really_used(tmp_path, folders):
    style = tmp_path / "classes"
    _flat(style / "dark", 10, 20, 30)
    _flat(style / "light", 210, 220)
    for name in ("dark/20.png", "light/220.png"):
        (style / name).write_text("not a picture")
    plain = Augmentation(16)
    samples = _build(folders, style_dir=style, extras=("label",), photo_augmentation=plain, style_augmentation=plain)
    for batch in _arrays(samples, 8):
        is_light = batch["anime"][:, 0, 0, 0] > 0
        np.testing.assert_array_equal(batch["label"], np.stack([~is_light, is_light], -1).astype(np.float32))
    assert len(samples.broken()) == 2


def test_balance_shows_the_small_class_as_often_as_the_large_one(rich):
    rich.pop("style_weights")
    labels = np.concatenate([batch["label"] for batch in _arrays(_build(rich), 12)])  # three epochs of 8 pictures
    np.testing.assert_array_equal(labels.sum(axis=0), [12, 12])


def _dot_photos(folder, landmark_dir, annotated):
    """Dark photos with one light spot each, and landmarks around the spot."""
    folder.mkdir()
    rows, columns = np.mgrid[:60, :70]
    for number in range(5):
        y, x = 22 + 4 * number, 45 - 5 * number
        spot = 220 * np.exp(-((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2) / 8)
        Image.fromarray(np.repeat(np.rint(spot).astype(np.uint8)[..., None], 3, 2)).save(folder / f"{number}.png")
        if number in annotated:
            _write_landmarks(landmark_dir / f"{number}.json", 70, 60, (x, y))


def _centre(plane):
    weights = np.where(plane > 0.4 * plane.max(), plane, 0).astype(float)
    return np.array([np.average(axis, weights=weights) for axis in np.indices(plane.shape)])


def test_the_face_lies_where_the_photo_shows_it_and_is_that_of_the_file_that_stands_in(tmp_path, folders):
    _dot_photos(tmp_path / "faces", tmp_path / "landmarks", annotated=(0, 1, 2))
    (tmp_path / "faces" / "1.png").write_text("not a picture")
    augmentation = Augmentation(48, 0.8, 1.0, 0.5, 0.05, 0.1, 20.0, 0.2)
    samples = _build(
        folders,
        photo_dir=tmp_path / "faces",
        landmark_dir=tmp_path / "landmarks",
        extras=("face",),
        photo_augmentation=augmentation,
        style_augmentation=Augmentation(48),
    )
    seen = {"face": 0, "none": 0}
    for index in range(25):
        photo, face = samples.sample(index)[0], samples.sample(index)[-1]
        assert face.shape == (48, 48, 1) and face.dtype == np.float32 and face.min() >= 0
        annotated = samples.photo.source(index)[0].stem in "02"
        seen["face" if annotated else "none"] += 1
        if annotated:  # the five landmarks lie around the spot: lower by a pixel, level on average
            assert 0.9 < face.max() <= 1
            assert abs(_centre(photo[..., 0]) - _centre(face[..., 0])).max() < 2.5
        else:
            assert not face.any()
    assert min(seen.values()) > 5 and [name.split(":")[0][-5:] for name in samples.broken()] == ["1.png"]


def test_regions_and_teacher_see_the_augmented_photo(rich):
    samples = _build(rich)
    for index in range(3):
        sample = dict(zip(samples.names, samples.sample(index), strict=True))
        np.testing.assert_array_equal(sample["teacher"], 255 - sample["photo"])
        np.testing.assert_array_equal(sample["photo_regions"], regions.superpixels(sample["photo"]))
        np.testing.assert_array_equal(sample["photo"], samples.photo.sample(index))


def test_the_map_of_landmarks_has_the_size_of_the_decoded_photo(rich, monkeypatch):
    asked = []
    monkeypatch.setattr(
        pipeline, "landmark_map", lambda points, *size: asked.append(size) or faces.landmark_map(points, *size)
    )
    _arrays(_build(rich), 3)
    assert set(asked) == {(20, 24)}


def test_a_teacher_that_makes_something_else_is_an_error(rich):
    samples = _build(rich | {"teacher": lambda photo: photo[:8].astype(np.float32)})
    with pytest.raises(ConfigError, match=r"The teacher makes float32 \(8, 16, 3\) of a uint8 \(16, 16, 3\) photo"):
        samples.sample(0)
    assert isinstance(samples.failure, ConfigError)


def test_damaged_landmarks_come_out_of_tf_data_as_their_sentence(rich):
    for path in rich["landmark_dir"].iterdir():
        path.write_text("{}")
    samples = _build(rich)
    with pytest.raises(DataError, match=r"\.json: not a landmark file"), pipeline.user_errors(samples):
        list(pipeline.build_dataset(samples, 2).take(5))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"extras": ("lable",)}, UnknownNameError, "Unknown extra of a batch 'lable'.*Did you mean 'label'"),
        ({"extras": ("label", "label")}, ConfigError, "name one twice"),
        ({"teacher": None}, ConfigError, "'teacher' needs a teacher"),
        ({"landmark_dir": None}, ConfigError, "--landmark_dir is needed"),
        ({"landmark_dir": Path("/nowhere")}, DataError, "^--landmark_dir=/nowhere is not a folder"),
        ({"classes": ("ink", "oil")}, DataError, "no sub-folder 'oil'.*there are cel, ink"),
        ({"style_sampling": "even"}, UnknownNameError, "known are balanced, uniform"),
        ({"smooth_salt": -0.1}, ConfigError, "smooth_salt=-0.1"),
    ],
)
def test_options_that_cannot_work_are_one_sentence(rich, changes, error, message):
    with pytest.raises(error, match=message):
        _build(rich | changes)


def test_a_folder_without_landmarks_of_these_photos_names_the_flag(rich):
    for path in rich["landmark_dir"].iterdir():
        path.rename(path.with_name(f"other{path.name}"))
    with pytest.raises(DataError, match=r"^--landmark_dir=.* holds no landmarks of any picture in .*photo\.$"):
        _build(rich)


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
