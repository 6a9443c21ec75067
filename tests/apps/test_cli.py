"""The command line `animegan`, as tables of (arguments, exit code, what is said, what is written)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from animegan_tf import __version__
from animegan_tf.apps import cli as module
from animegan_tf.apps.cli import cli
from animegan_tf.images import read_picture
from animegan_tf.manifest import PRECISIONS
from animegan_tf.runtime import stylizer
from animegan_tf.runtime.backends import BACKENDS


def invoke(arguments: str | list[str]):
    """Returns the result of `animegan <arguments>` run in this process."""
    arguments = arguments.split() if isinstance(arguments, str) else arguments
    return CliRunner().invoke(cli, arguments, prog_name="animegan", catch_exceptions=False)


WRITES = [
    # arguments, the files written
    ("a.jpg", ["a_hokusai.jpg"]),
    ("photos/c.gif", ["photos/c_hokusai.png"]),
    ("a.jpg photos/b.png", ["a_hokusai.jpg", "photos/b_hokusai.png"]),
    ("photos", ["photos/b_hokusai.png", "photos/c_hokusai.png", "photos/sub/d_hokusai.jpg"]),
    ("photos/*.*", ["photos/b_hokusai.png", "photos/c_hokusai.png"]),
    ("**/*.jpg", ["a_hokusai.jpg", "photos/sub/d_hokusai.jpg"]),
    ("w[1].png", ["w[1]_hokusai.png"]),
    ("a.jpg -o out.png", ["out.png"]),
    ("a.jpg -o new/out.WEBP", ["new/out.WEBP"]),
    ("a.jpg --output out", ["out/a_hokusai.jpg"]),
    ("a.jpg -o empty", ["empty/a_hokusai.jpg"]),
    ("photos -o out", ["out/b_hokusai.png", "out/c_hokusai.png", "out/sub/d_hokusai.jpg"]),
    ("a.jpg photos -o out", ["out/a_hokusai.jpg", "out/b_hokusai.png", "out/c_hokusai.png", "out/sub/d_hokusai.jpg"]),
    ("photos/sub -o out.jpg", ["out.jpg/d_hokusai.jpg"]),
    ("a.jpg --style styles/hokusai --backend onnx --strength 0.5 --max-side 6", ["a_hokusai.jpg"]),
    ("a.jpg --precision float32", ["a_hokusai.jpg"]),
    ("a.jpg --tile 4 --threads 1 -o out.tif", ["out.tif"]),
    ("a.jpg --tile off", ["a_hokusai.jpg"]),
    ("a.jpg --max-pixels 1e308", ["a_hokusai.jpg"]),
    ("a.jpg -o taken.png --overwrite", ["taken.png"]),
]


@pytest.mark.parametrize(("arguments", "written"), WRITES, ids=[row[0] for row in WRITES])
def test_image_writes_and_prints_the_paths(arguments, written, workplace):
    result = invoke(f"image {arguments}")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.split() == [path.replace("/", os.sep) for path in written]
    for path in written:
        assert read_picture(path).pixels.shape == ((4, 6, 3) if "--max-side" in arguments else (8, 12, 3))


FAILS = [
    # arguments, exit code, files written all the same, the lines on stderr (each a part of it)
    ("nix.jpg", 2, [], ["nix.jpg: no such file or folder."]),
    ("nix.jpg *.tiff", 2, [], ["nix.jpg: no such file or folder.", "*.tiff: no such file or folder."]),
    ("empty", 2, [], ["empty: no pictures in this folder (.jpg, .jpeg, .png, .webp, .gif, .tif, .tiff)."]),
    ("a.jpg --style monet", 2, [], ["Unknown style 'monet': known are hokusai."]),
    ("a.jpg --style ./monet", 2, [], ["./monet: no such style folder."]),
    ("a.jpg --style photos", 1, [], ["photos is not a style folder: it has no manifest.json."]),
    ("a.jpg --precision int8", 2, [], ["has no tflite file of precision int8: its files are tflite float32"]),
    ("photos -o taken.png", 2, [], ["taken.png is not a folder: name a folder"]),
    ("nix.jpg a.jpg", 1, ["a_hokusai.jpg"], ["nix.jpg: no such file or folder."]),
    ("empty a.jpg", 1, ["a_hokusai.jpg"], ["empty: no pictures in this folder"]),
    ("text.png a.jpg", 1, ["a_hokusai.jpg"], ["text.png: not a picture that can be read"]),
    ("a.jpg -o taken.png", 1, [], ["taken.png exists already; --overwrite (overwrite=True) replaces it."]),
    ("a.jpg -o taken.png/out", 1, [], ["Cannot write taken.png/out/a_hokusai.jpg: "]),
    ("clash", 1, ["clash/e_hokusai.png"], ["clash/e.png would be written to clash/e_hokusai.png, as clash/e.gif is."]),
    ("a.jpg a.jpg --overwrite", 1, ["a_hokusai.jpg"], ["a.jpg would be written to a_hokusai.jpg, as a.jpg is."]),
    ("a.jpg --max-pixels 0.00009", 1, [], ["a.jpg: 12x8 has more than the limit of 9e-05 megapixels."]),
]


@pytest.mark.parametrize(("arguments", "code", "written", "lines"), FAILS, ids=[row[0] for row in FAILS])
def test_image_reports_each_failure_in_a_line_and_does_the_rest(arguments, code, written, lines, workplace):
    result = invoke(f"image {arguments}")
    assert (result.exit_code, result.stdout.split()) == (code, written)
    said = result.stderr.splitlines()
    assert len(said) == len(lines)
    for actual, expected in zip(said, lines, strict=True):
        assert actual.startswith("animegan: ") and expected in actual
    assert (workplace / "taken.png").read_text() == "precious"


USAGE = [
    ("", "Usage: animegan [OPTIONS] COMMAND"),
    ("paint a.jpg", "No such command 'paint'"),
    ("image", "Missing argument"),
    ("image a.jpg --strength 1.5", "1.5 is not in the range 0<=x<=1"),
    ("image a.jpg --max-side 0", "0 is not in the range x>=1"),
    ("image a.jpg --max-pixels 0", "0.0 is not in the range x>0"),
    ("image a.jpg --max-pixels nan", "'nan' is not a finite number."),
    ("image a.jpg --max-pixels 1e400", "'1e400' is not a finite number."),
    ("image a.jpg --strength nan", "'nan' is not a finite number."),
    ("image a.jpg --strength inf", "inf is not in the range 0<=x<=1"),
    ("image a.jpg --precision int4", "'int4' is not one of 'float32', 'float16', 'dynamic_int8', 'int8'"),
    ("image a.jpg --backend torch", "'torch' is not one of 'tflite', 'onnx', 'saved_model', 'auto'"),
    ("image a.jpg --tile 0", "'0' is not auto, off or a whole number of pixels."),
    ("image a.jpg --tile 1.5", "'1.5' is not auto, off or a whole number of pixels."),
    ("image a.jpg --threads 0", "0 is not in the range x>=1"),
    ("image a.jpg --variation -1", "-1 is not in the range x>=0"),
    ("image a.jpg --variation blue", "'blue' is not a valid integer"),
]


@pytest.mark.parametrize(("arguments", "message"), USAGE)
def test_bad_usage_is_exit_code_2(arguments, message, workplace):
    result = invoke(arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ("--version", [f"animegan, version {__version__}"]),
        (
            "--help",
            ["image   Stylize pictures and folders of pictures.", "styles  List the styles that are installed."],
        ),
        ("image --help", ["--style NAME|DIR", "[default: hokusai]", "--max-side N", "--max-pixels MEGAPIXELS"]),
        ("image --help", ["--label NAME", "--style-image PICTURE[:WEIGHT]", "--style-code FILE[:WEIGHT]"]),
        ("image --help", ["--save-code FILE", "--variation SEED", "--tile auto|N|off", "--threads N"]),
        ("styles -h", ["Usage: animegan styles [OPTIONS] [NAME|FOLDER]...", "--json"]),
    ],
)
def test_help_and_version(arguments, lines):
    result = invoke(arguments)
    assert result.exit_code == 0
    assert all(line in result.stdout for line in lines)


def test_backend_names_are_the_backends():
    assert list(module.BACKEND_NAMES) == [*BACKENDS, "auto"]


def test_precision_names_are_those_of_manifests():
    assert module.PRECISION_NAMES == PRECISIONS


def test_strength_0_writes_the_photo(workplace):
    assert invoke("image photos/b.png -o same.png --strength 0").exit_code == 0
    np.testing.assert_array_equal(read_picture("same.png").pixels, read_picture("photos/b.png").pixels)


def test_earlier_results_in_a_folder_are_not_stylized_again(workplace):
    assert invoke("image photos/sub").stdout.split() == ["photos/sub/d_hokusai.jpg"]
    result = invoke("image photos/sub")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "photos/sub/d_hokusai.jpg exists already" in result.stderr
    assert invoke("image photos/sub --overwrite").stdout.split() == ["photos/sub/d_hokusai.jpg"]
    once = invoke("image photos/sub -o photos/sub/out")
    assert once.stdout.split() == ["photos/sub/out/d_hokusai.jpg"]
    assert invoke("image photos/sub -o photos/sub/out --overwrite").stdout == once.stdout
    named = invoke("image photos/sub/d_hokusai.jpg")
    assert named.stdout.split() == ["photos/sub/d_hokusai_hokusai.jpg"]


def test_an_output_of_an_unknown_kind_is_refused(workplace):
    result = invoke("image a.jpg -o out.bmp")
    assert result.exit_code == 2 and "out.bmp: pictures are written as .jpg" in result.stderr


def test_damaged_exif_is_not_worth_a_word(workplace):
    Image.new("RGB", (8, 8)).save("odd.jpg", exif=b"Exif\0\0MM\0*garbage")
    with warnings.catch_warnings(record=True) as seen:
        assert invoke("image odd.jpg").stdout.split() == ["odd_hokusai.jpg"]
    assert seen == []


def test_control_c_is_one_line_and_exit_code_130(workplace, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(stylizer.Stylizer, "__call__", interrupt)
    result = invoke("image a.jpg photos")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "animegan: interrupted.\n")


def test_progress_bar_is_on_stderr_and_gives_way_to_paths(workplace, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    report = module.Report()
    for job in report.progress([module.Job("a", "b"), module.Job("c", "d")]):
        report.wrote(job.target)
    out, err = capsys.readouterr()
    assert out == "b\nd\n"
    assert "0/2" in err and "1/2" in err
    for _ in report.progress([module.Job("a", "b")]):
        pass
    assert capsys.readouterr().err == ""


def test_a_bar_of_tiles_is_on_stderr_when_it_takes_over_a_second(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    seconds = iter(range(100))
    monkeypatch.setattr("tqdm.std.time", lambda: next(seconds) * 0.8)
    report = module.Report()
    report.tiles(1, 1)
    assert capsys.readouterr().err == ""
    for done in range(1, 5):
        report.tiles(done, 4)
    assert "3/4" in capsys.readouterr().err


def test_notes_of_the_runtime_are_lines_on_stderr(workplace):
    Image.new("RGB", (150, 100)).save("wide.png")
    result = invoke("image wide.png --tile 32")
    assert (result.exit_code, result.stdout) == (0, "wide_hokusai.png\n")
    assert result.stderr.startswith("animegan: Style hokusai may depend on the whole picture at once: its 8 tiles are")
    assert result.stderr.count("\n") == 1


def test_the_fastest_backend_is_measured_once(workplace, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setattr("pathlib.Path.home", lambda: workplace)
    monkeypatch.setattr("animegan_tf.runtime.choice._BUSY", 1e9)
    first = invoke("image a.jpg --backend auto")
    assert first.exit_code == 0 and "animegan: Measuring once which backend runs hokusai" in first.stderr
    assert invoke("image a.jpg --backend auto --overwrite").stderr == ""


def test_styles_as_table(workplace):
    lines = invoke("styles").stdout.splitlines()
    assert lines[0].split() == ["STYLE", "SYSTEM", "LICENCE", "FILES", "DESCRIPTION"]
    name, system, licence, files, description = (cell for cell in lines[1].split("  ") if cell)
    assert (name, system.strip(), licence.strip()) == ("hokusai", "test", "Apache-2.0")
    assert files.strip().startswith("tflite:float32:")
    assert files.count("kB") == 3
    assert description.strip() == "a curve and a blur"
    assert lines[1].index("test") == lines[0].index("SYSTEM")


def test_styles_as_json(workplace):
    (style,) = json.loads(invoke("styles --json").stdout)
    assert (style["name"], style["size_multiple"]) == ("hokusai", 8)
    assert [file["format"] for file in style["files"]] == list(BACKENDS)


def test_no_styles(workplace):
    shutil.rmtree(workplace / "styles")
    assert invoke("styles").stdout == "No styles are installed; --style takes a folder that export wrote.\n"
    assert json.loads(invoke("styles --json").stdout) == []


@pytest.mark.parametrize(("number", "text"), [(154_000, "154kB"), (999_000, "999kB"), (4_187_369, "4.2MB")])
def test_sizes(number, text):
    assert module._size(number) == text


# In a process of its own

LOADED = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
RUN = "import sys; from animegan_tf.apps.cli import cli; cli(sys.argv[1:], standalone_mode=False)"


def python(code: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("code", ["import animegan_tf", "import animegan_tf.apps.cli"])
def test_import_loads_nothing_heavy(code):
    loaded = set(python(f"{code}; {LOADED}").stdout.split())
    assert "animegan_tf" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "onnxruntime", "ai_edge_litert", "numpy", "PIL", "tqdm"})


@pytest.mark.parametrize("arguments", [["--help"], ["image", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments):
    loaded = python(f"{RUN}; {LOADED}", *arguments).stdout.splitlines()[-1].split()
    assert "animegan_tf" in loaded
    assert set(loaded).isdisjoint({"tensorflow", "keras", "numpy", "PIL"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_image_in_a_process_says_the_path_and_no_more(backend, tiny_style, workplace, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    command = [sys.executable, "-m", "animegan_tf.apps.cli", "image", "a.jpg", "--style", tiny_style]
    run = subprocess.run([*command, "--backend", backend], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "a_tiny.jpg\n", "")


def test_stylizing_with_tflite_loads_no_tensorflow(tiny_style, workplace):
    code = "import animegan_tf, sys; animegan_tf.Stylizer.load(sys.argv[1])('a.jpg');"
    loaded = set(python(code + LOADED, str(tiny_style)).stdout.split())
    assert "ai_edge_litert" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "onnxruntime"})
