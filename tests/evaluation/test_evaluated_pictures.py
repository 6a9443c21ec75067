"""Which pictures are read, and which result belongs to which photo."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import DataError, ImageError
from animegan_tf.evaluation.pictures import Folder, match_outputs, read, read_output, spread


def _write(folder, *names, size=(40, 32)):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (9, 99, 199)).save(folder / name)


def test_a_limit_is_spread_over_all():
    assert spread("abcdefgh", 3) == ["a", "c", "f"]
    assert spread("abc", 0) == spread("abc", 9) == ["a", "b", "c"]


def test_a_folder_is_read_one_by_one_with_keys(tmp_path, capsys):
    _write(tmp_path, "b.png", "trip/a.jpg", "trip/c.png", size=(45, 40))
    (tmp_path / "broken.png").write_text("no picture")
    folder = Folder(tmp_path, "photo_dir", max_side=36)
    assert [photo.key for photo in folder] == ["b", "trip/a", "trip/c"]
    assert next(iter(folder)).pixels.shape == (32, 36, 3)
    assert "broken.png: not a picture" in capsys.readouterr().err
    assert folder.keys == ["b", "broken", "trip/a", "trip/c"]
    assert len(Folder(tmp_path, "photo_dir", limit=2)) == 2 and len(Folder(tmp_path, "photo_dir", 2).keys) == 4


def test_pictures_are_reduced_and_never_enlarged(tmp_path):
    _write(tmp_path, "a.png", size=(80, 64))
    assert read(tmp_path / "a.png", 60).shape == (48, 60, 3)
    assert read(tmp_path / "a.png", 600).shape == (64, 80, 3)
    with pytest.raises(ImageError, match="a.png: 30x24 is too small to judge; 32 pixels a side are needed."):
        read(tmp_path / "a.png", 30)


def test_results_are_found_by_the_names_of_their_photos(tmp_path):
    names = ("a.png", "a_b_hokusai.jpg", "trip/a_hokusai_2.webp", "other.png", "ab.png", "c_d/a.png")
    _write(tmp_path, *names)
    found = match_outputs(["a", "a_b", "trip/a", "c_d/a", "c"], tmp_path)
    assert {key: path.relative_to(tmp_path).as_posix() for key, path in found.items()} == {
        "a": "a.png", "a_b": "a_b_hokusai.jpg", "trip/a": "trip/a_hokusai_2.webp", "c_d/a": "c_d/a.png",
    }  # fmt: skip


def test_two_results_of_a_photo_and_none_of_any_are_refused(tmp_path):
    _write(tmp_path, "a_hokusai.png", "a_monet.png")
    with pytest.raises(DataError, match="a_hokusai.png and a_monet.png are both named after a."):
        match_outputs(["a"], tmp_path)
    with pytest.raises(DataError, match="no picture there has the name of a photo"):
        match_outputs(["b"], tmp_path)


def test_a_result_of_another_size_is_brought_to_its_photo_s(tmp_path):
    _write(tmp_path, "half.png", size=(40, 30))
    _write(tmp_path, "square.png", size=(40, 40))
    photo = np.zeros((60, 80, 3), np.uint8)
    found = read_output(tmp_path / "half.png", photo)
    assert found.shape == photo.shape and (found == (9, 99, 199)).all()
    with pytest.raises(ImageError, match="40x40 is no picture of the photo's proportions, 80x60"):
        read_output(tmp_path / "square.png", photo)
