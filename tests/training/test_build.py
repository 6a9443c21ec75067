"""From a configuration to the objects of a run: streams, classes, Gram targets, sample grids."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.data.faces import landmark_path, write_landmarks
from animegan_tf.errors import ConfigError, DataError
from animegan_tf.images import to_float
from animegan_tf.models import build_generator
from animegan_tf.recipe_files import read_flagfile
from animegan_tf.training.build import _style_grams, samples_of, shown_conditions
from animegan_tf.training.run import train


@pytest.fixture
def class_dir(picture_dirs, tmp_path) -> Path:
    """Returns a style folder with the classes 'dark' and 'light', whose pictures are of one grey each."""
    for name, level in (("dark", 40), ("light", 220)):
        (tmp_path / "styles" / name).mkdir(parents=True)
        for number in range(1 if name == "dark" else 40):  # drawn at random, 'dark' would seldom come
            picture = np.full((40, 40, 3), level, np.uint8)
            Image.fromarray(picture).save(tmp_path / "styles" / name / f"{number}.png")
    return tmp_path / "styles"


@pytest.fixture
def labelled(tiny_config, class_dir):
    """Returns the tiny configuration with a label generator and discriminator over two classes."""
    networks = {"generator": "conditional", "discriminator": "conditional"}
    widths = {"generator_width": 4, "discriminator_width": 4}
    return replace(tiny_config, style_dir=str(class_dir), brightness=0.0, contrast=0.0, **networks, **widths)


def test_streams_follow_from_networks_and_terms(tiny_config, labelled, tmp_path):
    assert samples_of(tiny_config).extras == ()
    assert samples_of(labelled).extras == ("label",)
    taught = replace(labelled, output_weight=1.0, photo_region_weight=1.0)
    assert samples_of(taught, teacher=lambda photo: photo).extras == ("label", "teacher", "photo_regions")
    assert samples_of(replace(tiny_config, generator="style_code")).extras == ("noise",)


def test_what_a_term_lacks_is_one_sentence(tiny_config):
    with pytest.raises(ConfigError, match="--landmark_weight needs --landmark_dir"):
        samples_of(replace(tiny_config, landmark_weight=1.0))
    with pytest.raises(ConfigError, match="need a teacher: use tools/distill.py"):
        samples_of(replace(tiny_config, feature_weight=1.0))


def test_a_palette_of_several_styles_is_refused(labelled):
    with pytest.raises(ConfigError, match="--palette_strength is for one style"):
        samples_of(replace(labelled, content_picture="abstraction", palette_strength=1.0))


def test_terms_of_a_double_tail_are_refused_by_other_generators(tiny_config):
    with pytest.raises(ConfigError, match="--region_weight and --revision_weight are for a double-tail generator"):
        train(replace(tiny_config, region_weight=1.0, revision_weight=1.0))


@pytest.mark.parametrize("name", ["ink, oil", "a:1", "a=b", " ink"])
def test_a_folder_that_cannot_name_a_class_is_refused(labelled, name):
    (Path(labelled.style_dir) / "dark").rename(Path(labelled.style_dir) / name)
    with pytest.raises(DataError, match="cannot be a class: names have no comma, colon"):
        train(labelled)


def test_classes_left_open_are_decided_and_kept(labelled):
    outcome = train(replace(labelled, max_steps=1))
    assert read_flagfile(outcome.run_dir / "recipe.flags").classes == ("dark", "light")
    (Path(labelled.style_dir) / "another").mkdir()
    shutil.copy(Path(labelled.style_dir) / "dark/0.png", Path(labelled.style_dir) / "another")
    resumed = train(replace(labelled, resume=True, max_steps=2))  # the run's own classes, not today's folders
    assert resumed.step == 2
    assert read_flagfile(outcome.run_dir / "recipe.flags").classes == ("dark", "light")


def test_an_unknown_class_is_named(labelled):
    with pytest.raises(DataError, match="no sub-folder 'grey' with pictures.*there are dark, light"):
        train(replace(labelled, classes=("dark", "grey")))


def test_each_class_has_its_own_gram_target(labelled):
    config = replace(labelled, gram_target="set", gram_picture="color", gram_layers=("block1_conv1",))
    samples = samples_of(config)
    grams = _style_grams(config, samples, lambda batch: {"block1_conv1": batch})["block1_conv1"]
    # One grey level g everywhere: every entry of F^T F / (H W C) is g^2 / 3.
    expected = [np.full((3, 3), to_float(np.uint8(level)) ** 2 / 3) for level in (40, 220)]
    np.testing.assert_allclose(grams, expected, rtol=1e-5)


def test_without_labels_the_set_is_one(tiny_config, class_dir):
    config = replace(
        tiny_config,
        brightness=0.0,
        contrast=0.0,
        style_dir=str(class_dir),
        gram_target="set",
        gram_picture="color",
        gram_layers=("block1_conv1",),
    )
    samples = samples_of(config)
    grams = _style_grams(config, samples, lambda batch: {"block1_conv1": batch})["block1_conv1"]
    levels = np.array([to_float(samples.style.stream.read(file))[16, 16, 0] for file in samples.style.stream.files])
    assert len(set(levels)) == 2
    np.testing.assert_allclose(grams, np.full((1, 3, 3), (levels**2 / 3).mean()), rtol=1e-5)


def test_the_grain_of_the_set_is_filtered_before_its_grams(tiny_config, tmp_path, rng):
    cv2 = pytest.importorskip("cv2")
    prints = [rng.integers(90, 120, (32, 32, 3)).astype(np.uint8) for _ in range(2)]
    for number, picture in enumerate(prints):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    settings = {"gram_target": "each", "gram_picture": "color", "gram_layers": ("block1_conv1",), "gram_passes": 2}
    config = replace(tiny_config, style_dir=str(tmp_path), **settings)
    grams = _style_grams(config, samples_of(config), lambda batch: {"block1_conv1": batch})["block1_conv1"]
    for _ in range(2):
        prints = [cv2.bilateralFilter(picture, 7, 30.0, 3.0) for picture in prints]
    flat = to_float(np.stack(prints)).reshape(2, -1, 3)
    np.testing.assert_allclose(grams[0], np.einsum("bnc,bnd->cd", flat, flat) / 2 / flat[0].size, rtol=1e-5)


def test_grids_show_every_class_and_some_style_pictures(labelled, tiny_config):
    shown = shown_conditions(samples_of(labelled), build_generator("conditional", 4, classes=2))
    np.testing.assert_array_equal(np.concatenate([row["label"] for row in shown]), np.eye(2))
    code = build_generator("style_code", 4)
    shown = shown_conditions(samples_of(replace(tiny_config, generator="style_code")), code)
    assert [row["anime"].shape for row in shown] == [(1, 32, 32, 3)] * 3
    assert all(not row["noise"].any() for row in shown)
    assert shown_conditions(samples_of(tiny_config), build_generator("toy", 4)) == [{}]


def test_a_grid_has_a_row_for_each_class(labelled):
    outcome = train(replace(labelled, max_steps=1, sample_every=1))
    with Image.open(outcome.run_dir / "samples/step-00000001.jpg") as grid:
        assert grid.height == 3 * 256


def test_landmarks_reach_their_term(tiny_config, tmp_path):
    photo_dir, landmark_dir = Path(tiny_config.photo_dir), tmp_path / "landmarks"
    points = np.array([[12, 14], [28, 14], [20, 22], [14, 30], [26, 30]], np.float32)
    for photo in photo_dir.iterdir():
        with Image.open(photo) as picture:
            size = picture.size
        path = landmark_path(photo, photo_dir, landmark_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_landmarks(path, points, *size)
    config = replace(tiny_config, landmark_dir=str(landmark_dir), landmark_weight=5.0, max_steps=5)
    assert train(config).logs["loss/g/landmark"] > 0
