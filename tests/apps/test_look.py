"""The options that choose how a style looks, as tables of (arguments, exit code, what is said, what is written)."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from animegan_tf.apps.cli import cli
from animegan_tf.errors import UsageError
from animegan_tf.images import read_picture
from animegan_tf.runtime import stylizer
from animegan_tf.runtime.codes import StyleCode, blend_codes, read_code, write_code
from animegan_tf.runtime.looks import parse_label, split_weight


def invoke(arguments: str | list[str]):
    """Returns the result of `animegan <arguments>` run in this process."""
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    return CliRunner().invoke(cli, arguments, prog_name="animegan", catch_exceptions=False)


@pytest.fixture
def studio(workplace, label_style, code_style):
    """The workplace with the style folders scenes/ and painter/, wave.png and sun.png, wave.json and mono.json.

    wave.json is the code of wave.png, mono.json that of another model.
    """
    shutil.copytree(label_style, "scenes")
    shutil.copytree(code_style, "painter")
    for name, level in (("wave.png", 40), ("sun.png", 230)):
        Image.new("RGB", (40, 40), (level, 100, level)).save(name)
    painter = stylizer.Stylizer.load("./painter")
    write_code("wave.json", painter.encode("wave.png"))
    write_code("mono.json", StyleCode(np.zeros(64, np.float32), "mono", ("0" * 16,), "mono"))
    return workplace


LOOKS = [
    # arguments, the files written
    ("a.jpg --style scenes --label monet", ["a_scenes-monet.jpg"]),
    ("a.jpg --style scenes --label monet:0.7,hokusai:0.3", ["a_scenes-monet70-hokusai30.jpg"]),
    ("photos/sub -o out --style scenes --label duelyst --backend onnx", ["out/d_scenes-duelyst.jpg"]),
    ("a.jpg --style painter --style-image wave.png", ["a_painter-wave.jpg"]),
    ("a.jpg --style painter --style-image wave.png --backend saved_model", ["a_painter-wave.jpg"]),
    ("a.jpg --style painter --style-image wave.png:3 --style-image sun.png", ["a_painter-wave75-sun25.jpg"]),
    ("a.jpg --style painter --style-code wave.json", ["a_painter-wave.jpg"]),
    ("a.jpg --style painter --style-image sun.png:.5 --style-code wave.json:.5", ["a_painter-sun50-wave50.jpg"]),
    ("a.jpg --style painter --style-code wave.json --variation 7", ["a_painter-wave-7.jpg"]),
    ("a.jpg --style painter --style-image sun.png -o out.png --save-code codes/sun.json", ["out.png"]),
]


@pytest.mark.parametrize(("arguments", "written"), LOOKS, ids=[row[0] for row in LOOKS])
def test_choices_are_part_of_the_names_written(arguments, written, studio):
    result = invoke(f"image {arguments}")
    assert (result.exit_code, result.stderr, result.stdout.split()) == (0, "", written)
    assert all(read_picture(path).pixels.shape == (8, 12, 3) for path in written)


NOT_LOOKS = [
    # arguments, exit code, the line on stderr (a part of it)
    (
        "--style scenes",
        2,
        "Style scenes holds several styles: choose one with label (--label): hokusai, duelyst, monet.",
    ),
    (
        "--style scenes --label mone",
        2,
        "Unknown label 'mone': known are duelyst, hokusai, monet. Did you mean 'monet'?",
    ),
    ("--style scenes --label monet,", 2, "--label=monet,: labels are written as monet, or monet:0.7,hokusai:0.3."),
    ("--style scenes --label monet,monet:2", 2, "--label=monet,monet:2: monet stands there twice."),
    (
        "--style scenes --label monet:-1",
        2,
        "The weights of a blend of labels must be 0 or more and not all 0, not -1.0.",
    ),
    ("--style scenes --label monet:0,hokusai:0", 2, "must be 0 or more and not all 0, not 0.0, 0.0."),
    (
        "--style scenes --label monet --style-image wave.png",
        2,
        "Style scenes encodes no style picture (--style-image).",
    ),
    ("--style scenes --label monet --style-code wave.json", 2, "Style scenes follows no style picture"),
    ("--style scenes --label monet --variation 1", 2, "Style scenes knows no variations (--variation)."),
    ("--style painter", 2, "Style painter follows a style picture: choose one with code (--style-image, or"),
    ("--style painter --label monet", 2, "Style painter follows a style picture"),
    ("--style painter --style-image nix.png:0.5", 2, "nix.png: no such file."),
    ("--style painter --style-image nix:png", 2, "nix:png: no such file."),
    ("--style painter --style-image text.png", 1, "text.png: not a picture that can be read"),
    ("--style painter --style-image wave.png:0", 2, "The weights of a blend of style codes must be 0 or more"),
    ("--style painter --style-code nix.json", 2, "nix.json: no such file."),
    ("--style painter --style-code wave.png", 1, "wave.png is not a style code: --save-code (write_code) makes"),
    (
        "--style painter --style-code mono.json",
        2,
        "The style code 'mono' was made by style mono, not by this style pain",
    ),
    ("--style painter --style-code mono.json --style-code wave.json", 2, "made by different models"),
    ("--style painter --save-code new.json", 2, "--save-code needs a style picture (--style-image) or another code"),
    ("--style painter --style-image wave.png --save-code wave.json", 1, "wave.json exists already; --overwrite"),
    ("--style painter --style-image wave.png --save-code taken.png/x", 1, "Cannot write taken.png/x: "),
    ("--label monet", 2, "Style hokusai holds one style: it takes no label (--label)."),
    ("--style-image wave.png", 2, "Style hokusai encodes no style picture (--style-image)."),
    ("--style-code wave.json", 2, "Style hokusai follows no style picture: it takes no code"),
    ("--variation 3", 2, "Style hokusai knows no variations (--variation)."),
]


@pytest.mark.parametrize(("arguments", "code", "line"), NOT_LOOKS, ids=[row[0] for row in NOT_LOOKS])
def test_choices_that_cannot_be_are_one_line_and_nothing_is_written(arguments, code, line, studio):
    before = sorted(os.listdir())
    result = invoke(f"image a.jpg {arguments}")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("animegan: ") and result.stderr.count("\n") == 1
    assert line in result.stderr
    assert sorted(os.listdir()) == before


def test_result_is_that_of_the_library(studio):
    scenes, painter = stylizer.Stylizer.load("./scenes"), stylizer.Stylizer.load("./painter")
    photo = read_picture("photos/b.png").pixels
    assert invoke("image photos/b.png -o x.png --style scenes --label monet:3,duelyst:1").exit_code == 0
    blend = {"monet": 0.75, "duelyst": 0.25}
    np.testing.assert_array_equal(read_picture("x.png").pixels, scenes(photo, label=blend))
    options = "--style painter --style-image sun.png:3 --style-code wave.json --variation 5"
    assert invoke(f"image photos/b.png -o y.png {options}").exit_code == 0
    code = blend_codes([(painter.encode("sun.png"), 0.75), (painter.encode("wave.png"), 0.25)])
    np.testing.assert_array_equal(read_picture("y.png").pixels, painter(photo, code=code, variation=5))


def test_saved_code_is_the_blend_and_gives_the_same_picture(studio):
    blend = "--style painter --style-image wave.png --style-image sun.png"
    assert invoke(f"image photos/b.png -o x.png {blend} --save-code both.json").exit_code == 0
    assert invoke("image photos/b.png -o y.png --style painter --style-code both.json").exit_code == 0
    np.testing.assert_array_equal(read_picture("x.png").pixels, read_picture("y.png").pixels)
    painter = stylizer.Stylizer.load("./painter")
    mean = (painter.encode("wave.png").values + painter.encode("sun.png").values) / 2
    np.testing.assert_allclose(read_code("both.json").values, mean, atol=1e-6)
    again = invoke("image a.jpg --style painter --style-image sun.png --save-code both.json --overwrite")
    assert again.exit_code == 0
    assert read_code("both.json").name == "sun"


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no colon in a file name")
def test_a_style_picture_whose_name_ends_like_a_weight_is_taken_as_it_is(studio):
    os.rename("wave.png", "wave:2")
    result = invoke("image a.jpg --style painter --style-image wave:2 --style-image wave:2:3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.strip() == "a_painter-wave_225-wave_275.jpg"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wave.jpg", ("wave.jpg", 1)),
        ("wave.jpg:0.7", ("wave.jpg", 0.7)),
        ("wave.jpg:.5", ("wave.jpg", 0.5)),
        ("wave.jpg:2.", ("wave.jpg", 2)),
        ("wave.jpg:-1", ("wave.jpg", -1)),
        (r"C:\wave.jpg", (r"C:\wave.jpg", 1)),
        (r"C:\wave.jpg:3", (r"C:\wave.jpg", 3)),
        ("C:/wave.jpg", ("C:/wave.jpg", 1)),
        ("at 12:30.jpg", ("at 12:30.jpg", 1)),
        ("at 12:30.jpg:2", ("at 12:30.jpg", 2)),
        ("wave.jpg:nan", ("wave.jpg:nan", 1)),
        ("wave.jpg:", ("wave.jpg:", 1)),
        (":2", (":2", 1)),
        ("", ("", 1)),
    ],
)
def test_a_weight_is_only_a_number_after_the_last_colon(text, expected):
    assert split_weight(text) == expected


def test_labels_may_have_spaces_around_and_inside():
    assert parse_label("ukiyo e:0.7, monet") == {"ukiyo e": 0.7, "monet": 1}
    with pytest.raises(UsageError, match="stands there twice"):
        parse_label("monet, monet")


def test_styles_of_folders_say_what_there_is_to_choose(studio):
    lines = invoke("styles scenes painter hokusai").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["STYLE", "scenes", "painter", "hokusai"]
    assert lines[1].endswith("three gains [--label: hokusai, duelyst, monet]")
    assert lines[2].endswith("a gain from a picture [takes a style picture: --style-image]")
    assert "tflite-encoder:float32:" in lines[2] and "encoder" not in lines[1]
    assert lines[3].endswith("  a curve and a blur")


def test_styles_of_folders_as_json(studio):
    scenes, painter = json.loads(invoke("styles --json scenes ./painter").stdout)
    assert (scenes["name"], scenes["classes"], scenes["inputs"]) == (
        "scenes",
        ["hokusai", "duelyst", "monet"],
        {"label": [3]},
    )
    assert painter["inputs"] == {"code": [64], "noise": [16]}
    assert {file["role"] for file in painter["files"]} == {"generator", "style_encoder"}


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ("nix", 2, "Unknown style 'nix': known are hokusai."),
        ("./nix", 2, "./nix: no such style folder."),
        ("scenes photos", 1, "photos is not a style folder: it has no manifest.json."),
    ],
)
def test_styles_of_what_is_no_style(arguments, code, line, studio):
    result = invoke(f"styles {arguments}")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"animegan: {line}\n")
