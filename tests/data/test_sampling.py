"""Style pictures: their classes, their weights, and how often each comes in an epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from animegan_tf.data import sampling
from animegan_tf.errors import ConfigError, DataError, UnknownNameError

ROOT = Path("styles")


def _files(**classes: int) -> list[Path]:
    """Paths of pictures by class and number; 'top' stands for those in no sub-folder."""
    return sorted(
        ROOT / ("" if name == "top" else name) / f"{number:02d}.png"
        for name, count in classes.items()
        for number in range(count)
    )


def _weights_file(tmp_path, text: str) -> Path:
    path = tmp_path / "weights.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _counts(selection: sampling.Selection, epochs: int = 40) -> np.ndarray:
    """[epochs, files]: how often each picture comes in each epoch."""
    number = len(selection.files)
    assert selection.frequencies is not None
    orders = [selection.frequencies.order(np.random.default_rng(epoch)) for epoch in range(epochs)]
    assert all(len(order) == number for order in orders)
    return np.array([np.bincount(order, minlength=number) for order in orders])


def test_first_level_sub_folders_with_pictures_are_the_classes_sorted():
    files = [*_files(b=1, a=2, top=1), ROOT / "c" / "deep" / "x.png"]
    assert sampling.classes_of(ROOT, files) == ("a", "b", "c")
    assert sampling.class_of(ROOT, files[-1]) == "c" and sampling.class_of(ROOT, ROOT / "00.png") == ""
    assert sampling.classes_of(ROOT, _files(top=3)) == ()


def test_a_label_is_one_at_the_place_of_its_name():
    label = sampling.one_hot("b", ("c", "b", "a"))
    np.testing.assert_array_equal(label, [0, 1, 0])
    assert label.dtype == np.float32


def test_without_wishes_every_picture_comes_once():
    files = _files(a=2, top=3)
    assert sampling.select_styles(ROOT, files) == sampling.Selection(files, (), None)


def test_labels_take_all_classes_and_leave_out_what_lies_in_none():
    chosen = sampling.select_styles(ROOT, _files(a=2, b=1, top=3), labels=True)
    assert chosen == sampling.Selection(_files(a=2, b=1), ("a", "b"), None)


def test_named_classes_keep_their_order_and_leave_out_the_others():
    chosen = sampling.select_styles(ROOT, _files(a=2, b=1, c=2, top=3), classes=("c", "a"))
    assert chosen == sampling.Selection(_files(a=2, c=2), ("c", "a"), None)


def test_a_missing_class_is_named_with_those_that_exist():
    with pytest.raises(DataError) as caught:
        sampling.select_styles(ROOT, _files(a=2, b=1), classes=("a", "x"))
    assert str(caught.value) == (
        "--style_dir=styles has no sub-folder 'x' with pictures, named by --classes; there are a, b."
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": True}, DataError, "--style_dir=styles has no sub-folder with pictures"),
        ({"sampling": "balanced"}, DataError, "--style_dir=styles has no sub-folder with pictures"),
        ({"sampling": "balance"}, UnknownNameError, "Did you mean 'balanced'"),
    ],
)
def test_wishes_that_cannot_be_met_are_one_sentence(arguments, error, message):
    with pytest.raises(error, match=message):
        sampling.select_styles(ROOT, _files(top=3), **arguments)


def test_a_class_may_be_named_once():
    with pytest.raises(ConfigError, match="--classes=a,b,a names a class twice"):
        sampling.select_styles(ROOT, _files(a=2, b=1), classes=("a", "b", "a"))


def test_whole_expected_counts_are_met_exactly_and_halves_by_one_of_two(tmp_path):
    # The weights' sum is the number of pictures, so each is the expected count itself.
    file = _weights_file(tmp_path, "picture,weight\n00.png,2\n02.png,0.5\n03.png,0.5\n")
    counts = _counts(sampling.select_styles(ROOT, _files(top=4), weights_file=file))
    np.testing.assert_array_equal(counts[:, :2], [[2, 1]] * 40)
    np.testing.assert_array_equal(counts[:, 2] + counts[:, 3], 1)
    assert 8 < counts[:, 2].sum() < 32


def test_balance_shows_every_class_equally_often_whatever_its_size():
    chosen = sampling.select_styles(ROOT, _files(big=21, small=2, tiny=1), sampling="balanced")
    assert chosen.classes == ("big", "small", "tiny") and len(chosen.files) == 24
    counts = _counts(chosen, 200)
    np.testing.assert_array_equal(counts[:, :21].sum(axis=1), 8)  # 24 pictures, 3 classes
    np.testing.assert_array_equal(counts[:, 21:], [[4, 4, 8]] * 200)
    assert counts[:, :21].max() == 1
    np.testing.assert_allclose(counts[:, :21].mean(axis=0), 8 / 21, atol=0.15)


def test_a_class_that_does_not_divide_the_epoch_comes_floor_or_ceil_times():
    counts = _counts(sampling.select_styles(ROOT, _files(a=4, b=1), sampling="balanced"), 200)
    assert set(counts[:, 4]) == {2, 3}
    np.testing.assert_allclose(counts[:, 4].mean(), 2.5, atol=0.15)


def test_weights_divide_the_share_that_balance_gives_to_a_class(tmp_path):
    file = _weights_file(tmp_path, "picture,weight\na/00.png,30\na/01.png,10\n")
    chosen = sampling.select_styles(ROOT, _files(a=2, b=4), sampling="balanced", weights_file=file)
    np.testing.assert_allclose(chosen.frequencies.expected, [2.25, 0.75, 0.75, 0.75, 0.75, 0.75])
    counts = _counts(chosen, 200)
    np.testing.assert_array_equal(counts[:, :2].sum(axis=1), 3)
    np.testing.assert_allclose(counts.mean(axis=0), chosen.frequencies.expected, atol=0.12)


def test_weight_two_comes_twice_as_often_and_weight_zero_never(tmp_path):
    file = _weights_file(tmp_path, "picture,weight\n01.png,2\n03.png,0\n")
    chosen = sampling.select_styles(ROOT, _files(top=6), weights_file=file)
    assert ROOT / "03.png" not in chosen.files and len(chosen.files) == 5
    np.testing.assert_allclose(chosen.frequencies.expected, np.array([1, 2, 1, 1, 1]) * 5 / 6)
    totals = _counts(chosen, 600).sum(axis=0)
    np.testing.assert_allclose(totals, chosen.frequencies.expected * 600, rtol=0.05)


def test_every_set_of_companions_occurs():
    frequencies = sampling.Frequencies(np.array([0.5, 0.5, 0.5, 0.5, 2.0]), np.zeros(5, int))
    rng = np.random.default_rng(0)
    orders = [frequencies.order(rng) for _ in range(100)]
    assert len({tuple(sorted(set(order) - {4})) for order in orders}) >= 6  # the pairs of four
    assert len({tuple(order) for order in orders}) > 40


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_floor_or_ceil_for_any_weights(seed):
    rng = np.random.default_rng(seed)
    weights, groups = rng.pareto(0.7, 300) + 1e-9, np.sort(rng.integers(0, 7, 300))
    frequencies = sampling._frequencies(weights, groups)
    np.testing.assert_allclose(np.bincount(groups, frequencies.expected), 300 / 7)
    for _ in range(5):
        counts = np.bincount(frequencies.order(rng), minlength=300)
        assert counts.sum() == 300 and (abs(counts - frequencies.expected) < 1 + 1e-9).all()
        assert set(np.bincount(groups, counts)) <= {42, 43}


def test_a_table_with_further_columns_and_a_spreadsheets_mark_is_read(tmp_path):
    file = _weights_file(tmp_path, '\ufeffrating,weight,picture\n5,1.5,a/00.png\n\n1,0,"a/01.png"\n')
    assert sampling.read_weights(file, ROOT, _files(a=3)) == {ROOT / "a/00.png": 1.5, ROOT / "a/01.png": 0.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture,weight\n00.png,1\nx.png,1\n", r"weights\.csv, line 3: --style_dir=styles has no picture 'x\.png'"),
        ("picture,weight\n00.png,1\n00.png,2\n", r"weights\.csv, line 3: '00\.png' is listed twice"),
        ("picture,weight\n00.png,-1\n", r"weights\.csv, line 2: the weight '-1' is not a number of at least 0"),
        ("picture,weight\n00.png,nan\n", r"line 2: the weight 'nan'"),
        ("picture,weight\n00.png,much\n", r"line 2: the weight 'much'"),
        ("picture,weight\n00.png\n", r"line 2: the weight ''"),
        ("picture,rating\n00.png,1\n", r"weights\.csv, line 1: no column 'weight'; needed are picture,weight"),
        ("", r"weights\.csv, line 1: no column 'picture'"),
        ("picture,weight\n00.png,0\n01.png,0\n", r"weights\.csv: every picture has the weight 0"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        sampling.select_styles(ROOT, _files(top=2), weights_file=_weights_file(tmp_path, text))


def test_a_class_may_not_be_weighed_away(tmp_path):
    file = _weights_file(tmp_path, "picture,weight\nb/00.png,0\n")
    with pytest.raises(DataError, match="every picture of the class 'b' has the weight 0"):
        sampling.select_styles(ROOT, _files(a=2, b=1), labels=True, weights_file=file)


def test_pictures_of_unused_classes_may_be_in_the_table(tmp_path):
    file = _weights_file(tmp_path, "picture,weight\nb/00.png,3\na/01.png,1\n")
    chosen = sampling.select_styles(ROOT, _files(a=2, b=1), classes=("a",), weights_file=file)
    assert chosen.files == _files(a=2)
    np.testing.assert_allclose(chosen.frequencies.expected, [1, 1])


def test_a_table_that_is_missing_or_no_text_names_the_flag(tmp_path):
    with pytest.raises(DataError, match=r"^--style_weights=.*none\.csv cannot be read: No such file or directory\.$"):
        sampling.read_weights(tmp_path / "none.csv", ROOT, [])
    (tmp_path / "bytes.csv").write_bytes(b"picture,weight\n\xff\xfe,1\n")
    with pytest.raises(DataError, match=r"^--style_weights=.*bytes\.csv is not a CSV file in UTF-8"):
        sampling.read_weights(tmp_path / "bytes.csv", ROOT, [])


def test_balanced_photos_come_from_every_folder_equally_often():
    files = _files(people=2, skies=9, top=1)
    assert sampling.photo_frequencies(ROOT, files, "uniform") is None
    frequencies = sampling.photo_frequencies(ROOT, files, "balanced")
    expected = [{"people": 2.0, "skies": 4 / 9, "": 4.0}[sampling.class_of(ROOT, file)] for file in files]
    np.testing.assert_allclose(frequencies.expected, expected)
    orders = [frequencies.order(np.random.default_rng(epoch)) for epoch in range(30)]
    people = np.array([sum(files[index].parent.name == "people" for index in order) for order in orders])
    np.testing.assert_array_equal(people, 4)
    with pytest.raises(UnknownNameError, match="--photo_sampling"):
        sampling.photo_frequencies(ROOT, files, "even")
