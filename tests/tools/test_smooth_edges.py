"""tools/smooth_edges.py as a user meets it: arguments in, files, exit code and one sentence out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import edges

ROOT = Path(__file__).parents[2]


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tools" / "smooth_edges.py"), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def style_dir(tmp_path):
    folder = tmp_path / "style"
    folder.mkdir()
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 24:] = 255
    Image.fromarray(image).save(folder / "a.png")
    return folder


def test_copies_are_written_and_not_overwritten_unasked(style_dir, tmp_path):
    out = tmp_path / "out"
    result = _run(f"--style_dir={style_dir}", f"--out={out}", "--size=16")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"1 pictures written to {out}\n"
    expected = edges.smooth_edges(images.read_thumbnail(style_dir / "a.png", 16))
    np.testing.assert_array_equal(images.read_picture(out / "a.png").pixels, expected)
    result = _run(f"--style_dir={style_dir}", f"--out={out}")
    assert result.returncode == 2 and "pass --overwrite" in result.stderr
    result = _run(f"--style_dir={style_dir}", f"--out={out}", "--overwrite")
    assert result.returncode == 0
    assert images.read_picture(out / "a.png").pixels.shape == (32, 48, 3)


def test_a_broken_picture_is_listed_and_the_rest_is_written(style_dir, tmp_path):
    (style_dir / "broken.jpg").write_text("not a picture")
    result = _run(f"--style_dir={style_dir}", f"--out={tmp_path / 'out'}")
    assert result.returncode == 1
    assert (tmp_path / "out" / "a.png").exists()
    assert "broken.jpg" in result.stderr.splitlines()[0]
    assert result.stderr.splitlines()[1] == "smooth_edges: 1 pictures could not be smoothed, see above."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--style_dir=/nowhere", "--out=/tmp/unused"], "--style_dir=/nowhere does not exist."),
        (["--out=/tmp/unused"], "style_dir"),
        (["--style_dir=/nowhere", "--out=/tmp/unused", "--siz=3"], "size"),
        (["--style_dir=/nowhere", "--out=/tmp/unused", "--size=-1"], "size"),
        (["--style_dir=/nowhere", "--out=/tmp/unused", "more"], "Unexpected argument 'more'"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(arguments, sentence):
    result = _run(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr and len(result.stderr.splitlines()) == 1
