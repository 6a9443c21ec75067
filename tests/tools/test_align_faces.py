"""tools/align_faces.py as a user meets it: arguments in, files, exit code, summary and sentences out."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.data import faces
from animegan_tf.options import run_program

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "align_faces.py"


@pytest.fixture
def run(monkeypatch, capsys):
    """Returns a function: arguments -> (exit code, stdout, stderr), with a detector that sees faces in red pictures."""
    pytest.importorskip("tensorflow", reason="needs the extra train")
    spec = importlib.util.spec_from_file_location("align_faces", TOOL)
    tool = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "align_faces", tool)
    spec.loader.exec_module(tool)

    def detect(pixels):
        red = pixels[0, 0, 0] == 255
        return [faces.Face(faces.TEMPLATE * side, side, sure) for side, sure in ((48, 0.96), (40, 0.9))] if red else []

    monkeypatch.setattr(faces, "load_detector", lambda min_face_size: detect)

    def run(*arguments):
        argv = [str(argument) for argument in arguments]
        code = run_program(tool.AlignOptions, tool.align, program="align_faces", purpose="", argv=argv)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def photo_dir(tmp_path):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name, color in (("a.png", (255, 0, 0)), ("sub/b.png", (255, 9, 9)), ("sub/c.png", (0, 0, 255))):
        Image.new("RGB", (64, 48), color).save(folder / name)
    return folder


def test_faces_are_written_and_counted_and_not_overwritten_unasked(run, photo_dir, tmp_path):
    out = tmp_path / "out"
    arguments = (f"--photo_dir={photo_dir}", f"--out={out}", "--size=32")
    summary = f"2 faces in 2 pictures written to {out}; 1 pictures without a face skipped\n"
    assert run(*arguments) == (0, summary, "")
    assert sorted(path.name for path in out.rglob("*.*")) == ["a_0.json", "a_0.png", "b_0.json", "b_0.png"]
    assert images.read_picture(out / "sub" / "b_0.png").pixels.shape == (32, 32, 3)
    code, _, error = run(*arguments)
    assert code == 2 and error == (
        f"align_faces: --out={out} holds a_0.json already: pass --overwrite to replace what is there.\n"
    )
    assert run(*arguments, "--overwrite") == (0, summary, "")


def test_every_face_or_the_largest_alone(run, photo_dir, tmp_path):
    doubtful = (f"--photo_dir={photo_dir}", "--min_confidence=0.9")
    _, summary, _ = run(*doubtful, f"--out={tmp_path / 'all'}", "--format=jpg")
    assert summary.startswith("4 faces in 2 pictures")
    names = sorted(path.name for path in (tmp_path / "all").rglob("*.jpg"))
    assert names == ["a_0.jpg", "a_1.jpg", "b_0.jpg", "b_1.jpg"]
    _, summary, _ = run(*doubtful, f"--out={tmp_path / 'largest'}", "--largest_only")
    assert summary.startswith("2 faces in 2 pictures")
    assert sorted(path.name for path in (tmp_path / "largest").rglob("*.png")) == ["a.png", "b.png"]


def test_photos_are_annotated_in_their_own_pixels(run, photo_dir, tmp_path):
    out = tmp_path / "kept"
    assert run(f"--photo_dir={photo_dir}", f"--out={out}", "--annotate_only")[0] == 0
    assert sorted(path.name for path in out.rglob("*.*")) == ["a.json", "b.json"]
    landmarks = faces.read_landmarks(faces.landmark_path(photo_dir / "sub" / "b.png", photo_dir, out))
    np.testing.assert_allclose(landmarks, faces.TEMPLATE * 48 / (64, 48), atol=2e-4)


def test_a_broken_picture_is_listed_and_the_rest_is_written(run, photo_dir, tmp_path):
    (photo_dir / "broken.jpg").write_text("not a picture")
    code, output, error = run(f"--photo_dir={photo_dir}", f"--out={tmp_path / 'out'}", "--size=32")
    assert code == 1 and output.startswith("2 faces in 2 pictures")
    assert "broken.jpg" in error.splitlines()[0]
    assert error.splitlines()[1:] == ["align_faces: 1 pictures could not be used, see above."]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--photo_dir=/nowhere", "--out=/tmp/unused"], "--photo_dir=/nowhere does not exist."),
        (["--out=/tmp/unused"], "--photo_dir and --out are needed."),
        (["--photo_dir=/nowhere", "--out=/tmp/unused", "--size=16"], "size"),
        (["--photo_dir=/nowhere", "--out=/tmp/unused", "--format=gif"], "format"),
        (["--photo_dir=/nowhere", "--out=/tmp/unused", "--min_confidence=2"], "min_confidence"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(run, arguments, sentence):
    code, _, error = run(*arguments)
    assert code == 2 and sentence in error and len(error.splitlines()) == 1


def test_the_program_with_the_real_detector(tmp_path):
    pytest.importorskip("mtcnn", reason="needs the extra faces")
    data = pytest.importorskip("skimage.data", reason="needs scikit-image")
    (tmp_path / "photos").mkdir()
    Image.fromarray(data.astronaut()).save(tmp_path / "photos" / "portrait.jpg")
    Image.fromarray(data.coffee()).save(tmp_path / "photos" / "coffee.jpg")
    out = tmp_path / "out"
    loud = "TF_CPP_MIN_LOG_LEVEL"  # set by this process; TensorFlow's notes are hidden where the user did not set it
    result = subprocess.run(
        [sys.executable, "-W", "error", str(TOOL), f"--photo_dir={tmp_path / 'photos'}", f"--out={out}"],
        env={name: value for name, value in os.environ.items() if name != loud} | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"1 faces in 1 pictures written to {out}; 1 pictures without a face skipped\n"
    assert images.read_picture(out / "portrait_0.png").pixels.shape == (256, 256, 3)
    np.testing.assert_allclose(faces.read_landmarks(out / "portrait_0.json"), faces.TEMPLATE, atol=0.04)
