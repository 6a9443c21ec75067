"""Measures of a result, against values by hand, and the program that makes a table of them."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.evaluation.metrics import MeanGrams, psnr, ssim, style_distance
from animegan_tf.options import run_program
from animegan_tf.runtime.stylizer import Stylizer

pytest.importorskip("skimage", reason="needs the extra train")
TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"


def _flat(*rgb: int) -> np.ndarray:
    return np.full((16, 20, 3), rgb, np.uint8)


def test_psnr_is_the_logarithm_of_the_mean_square_over_all_colours():
    photo = np.random.default_rng(0).integers(0, 200, (16, 20, 3)).astype(np.uint8)
    assert psnr(photo, photo + 5) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(_flat(9, 9, 9), _flat(9, 9, 12)) == pytest.approx(10 * math.log10(255**2 / 3))
    assert psnr(photo, photo) == math.inf


def test_ssim_of_flat_pictures_is_that_of_their_luminance():
    """Without variance only the first factor is left: (2 x y + C1) / (x^2 + y^2 + C1)."""
    x, y, c1 = 100, 0.299 * 100 + 0.587 * 50 + 0.114 * 200, (0.01 * 255) ** 2
    expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
    assert ssim(_flat(100, 100, 100), _flat(100, 50, 200)) == pytest.approx(expected)


def test_ssim_is_1_for_equal_pictures_and_falls_with_structure_not_with_colour():
    random = np.random.default_rng(0)
    photo = random.integers(40, 200, (24, 24, 1)).repeat(3, 2).astype(np.uint8)
    recoloured = photo + np.array([10, 0, -26], np.int16)  # 0.299 * 10 = 0.114 * 26, nearly
    assert ssim(photo, photo) == pytest.approx(1)
    assert ssim(photo, recoloured.astype(np.uint8)) > 0.999
    assert ssim(photo, photo[::-1]) < 0.2


def test_mean_gram_matrices_by_hand():
    grams = MeanGrams(lambda image: {"own": image})
    grams.add(np.array([[[255, 0, 255]]], np.uint8))  # 1, -1, 1
    grams.add(np.array([[[255, 255, 255], [255, 255, 255]]], np.uint8))  # 1, 1, 1 twice: size does not matter
    np.testing.assert_allclose(grams.mean()["own"], np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]) / 3)


def test_the_style_distance_is_relative_in_each_layer():
    def grams(pixel):
        found = MeanGrams(lambda image: {"one": image, "tenth": image / 10})
        found.add(np.array([[pixel]], np.uint8))
        return found

    style = grams([255, 255, 255])
    assert style_distance(style, style) == 0
    # All 9 products are 1 / 3 in the style; with -1, 1, 1 four of them change their sign.
    assert style_distance(grams([0, 255, 255]), style) == pytest.approx(4 * 2 / 9)


@pytest.fixture
def run(monkeypatch, capsys):
    """Returns a function: arguments -> (exit code, stdout, stderr)."""
    spec = importlib.util.spec_from_file_location("evaluate", TOOL)
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "evaluate", tool)
    spec.loader.exec_module(tool)

    def run(*arguments):
        argv = [str(argument) for argument in arguments]
        code = run_program(tool.EvaluateOptions, tool.main, program="evaluate", purpose="", argv=argv)
        return code, *capsys.readouterr()

    return run


def test_the_table_holds_the_means_over_all_photos(run, tiny_style, picture_dirs, tmp_path):
    photo_dir, style_dir = picture_dirs
    paths = f"--styles={tiny_style},hokusai", f"--photo_dir={photo_dir}", f"--style_dir={style_dir}"
    code, out, err = run(*paths, "--vgg19_weights=random", "--max_side=40", f"--json={tmp_path / 'table.json'}")
    assert (code, err) == (0, "")
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["style"] for row in rows] == [str(tiny_style), "hokusai"]
    photos = [Image.open(path) for path in sorted(photo_dir.iterdir())]
    for photo in photos:
        photo.thumbnail((40, 40), Image.Resampling.LANCZOS)
    pairs = [(np.asarray(p), Stylizer.load(tiny_style).stylize(np.asarray(p))) for p in photos]
    assert rows[0]["pictures"] == 5 and rows[0]["parameters"] == 84
    assert rows[0]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert rows[0]["ssim"] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))
    # The photos' own distance is what both shares are of.
    assert rows[0]["style_distance"] / rows[0]["style_ratio"] == pytest.approx(
        rows[1]["style_distance"] / rows[1]["style_ratio"]
    )
    assert f"{rows[0]['psnr']:.2f}" in out and "means of 5 photos" in out


def test_broken_and_tiny_pictures_are_skipped_with_a_sentence(run, tiny_style, picture_dirs, tmp_path):
    for path in sorted(picture_dirs[0].iterdir())[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_text("no picture")
    Image.new("RGB", (64, 8)).save(tmp_path / "strip.png")
    code, out, err = run(f"--styles={tiny_style}", f"--photo_dir={tmp_path}")
    assert code == 0 and "means of 2 photos" in out
    first, second = err.splitlines()
    assert first.startswith("skipped: ") and "broken.png: not a picture" in first
    assert "strip.png: 64x8 is too small to judge; 32 pixels a side are needed." in second


def test_a_limit_and_a_label(run, label_style, tiny_style, picture_dirs):
    arguments = f"--styles={label_style},{tiny_style}", f"--photo_dir={picture_dirs[0]}", "--limit=2"
    code, out, _ = run(*arguments, "--label=monet")
    assert code == 0 and "means of 2 photos" in out
    code, _, err = run(*arguments)
    assert code == 2 and "choose one with label (--label): hokusai, duelyst, monet." in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--styles=hokusai"], "--styles and --photo_dir are needed."),
        (["--styles=hokusai", "--photo_dir=/nowhere"], "--photo_dir=/nowhere does not exist."),
        (["--styles=hokusay", "--photo_dir=/nowhere"], "Unknown style 'hokusay'"),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--max_side=16"], "max_side"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(run, arguments, sentence):
    code, _, error = run(*arguments)
    assert code == 2 and sentence in error and len(error.splitlines()) == 1


def test_a_folder_without_a_usable_picture_is_one_sentence(run, tiny_style, tmp_path):
    (tmp_path / "broken.png").write_text("no picture")
    code, _, error = run(f"--styles={tiny_style}", f"--photo_dir={tmp_path}")
    assert code == 2
    assert error.splitlines()[-1] == f"evaluate: --photo_dir={tmp_path}: none of its pictures can be used."
