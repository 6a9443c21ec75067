"""A true run of every section on tiny pictures and networks; resuming; what is refused."""

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.benchmark import machine, pictures, processes, run
from animegan_tf.benchmark.options import PURPOSE, SECTIONS, BenchmarkOptions, read_size
from animegan_tf.benchmark.report import END, START
from animegan_tf.benchmark.run import measure, run_benchmark
from animegan_tf.errors import AnimeganError, ConfigError, UnknownNameError
from animegan_tf.manifest import read_manifest, write_manifest
from animegan_tf.options import run_program

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def light_style(tiny_style, tmp_path_factory) -> Path:
    """Returns the tiny style with its TFLite file alone: its processes load no TensorFlow."""
    folder = shutil.copytree(tiny_style, tmp_path_factory.mktemp("light") / "tiny")
    manifest = read_manifest(folder)
    files = tuple(file for file in manifest.files if file.format == "tflite")
    write_manifest(folder, type(manifest)(**{**vars(manifest), "files": files}))
    return folder


@pytest.fixture
def small_matrices(monkeypatch):
    monkeypatch.setattr(machine, "matmul_jobs", functools.partial(machine.matmul_jobs, (64,)))


@pytest.fixture
def options(light_style, picture_dirs, tmp_path):
    """Returns options(**changes) of a run that takes seconds."""
    photos, styles = map(str, picture_dirs)
    small = {"sizes": ("16", "32x16"), "memory_size": "32x16", "large_size": "64x48", "recipe": "smoke"}
    few = {"rounds": 2, "seconds": 0.0, "starts": 2, "batches": 1, "steps": 2}
    return lambda **changes: BenchmarkOptions(
        **{
            **{"out": str(tmp_path / "out"), "styles": (str(light_style),), "main_style": str(light_style)},
            **{"systems": ("none",), "photo_dir": photos, "style_dir": styles},
            **small,
            **few,
            **changes,
        }
    )


def _read(out: Path) -> dict:
    return json.loads((out / "benchmark.json").read_text())


def test_a_report_says_nothing_of_where_things_lie(options, monkeypatch, small_matrices, tmp_path):
    given = ["--anchors", "/home/me/published", "--styles=/home/me/one,two", "--sizes=512,1280x720", "--resume"]
    monkeypatch.setattr(run.sys, "argv", ["/home/me/benchmark.py", *given])
    report = measure(options(sections=("startup",), vgg19_weights="/home/me/vgg19.npz"))
    assert report["command"] == (
        "python tools/benchmark.py --anchors published --styles=one,two --sizes=512,1280x720 --resume"
    )
    written = (tmp_path / "out/benchmark.json").read_text()
    assert "/home/me" not in written and str(tmp_path.parent) not in written
    assert report["settings"]["vgg19_weights"] == "vgg19.npz" and report["settings"]["sizes"] == ["16", "32x16"]


def test_every_section_is_measured_and_written(options, light_style, small_matrices, tmp_path):
    returned = measure(options())
    found = _read(tmp_path / "out")
    assert found == json.loads(json.dumps(returned))
    assert list(found) == ["command", "machine", "settings", "styles", "sections", "targets"]
    assert list(found["styles"]) == ["tiny"] and found["styles"]["tiny"].keys() == {"model_float32.tflite"}
    assert list(found["sections"]) == list(SECTIONS) and len(found["targets"]) == 10
    for section in found["sections"].values():
        assert section["finished"] and {"started", "load_average", "seconds_taken"} <= set(section)
    _check_runtimes(found["sections"]["runtimes"]["sizes"])
    memory = found["sections"]["memory"]["rows"]
    assert [(row["network"], row["runtime"], row["size"]) for row in memory] == [
        ("tiny", "TFLite float32", "32x16"), ("animegan image", "TFLite float32", "64x48"),
    ]  # fmt: skip
    assert all(10 < row["peak_mb"] < 500 for row in memory)  # less than this process has, with TensorFlow
    programs = {row["program"]: row["seconds"] for row in found["sections"]["startup"]["rows"]}
    assert list(programs) == ["python -c pass", "animegan --version", "animegan image float32"]
    assert programs["python -c pass"]["min"] < programs["animegan image float32"]["min"]
    assert programs["python -c pass"]["rounds"] == 2
    _check_training(found["sections"])
    text = (tmp_path / "out" / "benchmark.md").read_text()
    assert "### Training step" in text and "| tiny | TFLite float32 |" in text
    assert Image.open(tmp_path / "out" / "benchmark.png").height == 92 + 24 + 44


def _check_runtimes(sizes: dict) -> None:
    assert list(sizes) == ["16", "32x16"]
    (row,) = sizes["32x16"]["rows"]
    assert (row["network"], row["kind"], row["runtime"]) == ("tiny", "style", "TFLite float32")
    assert row["gmacs"] == pytest.approx(32 * 32 * 9 * 3 * 3 / 1e9)  # padded to 32 a side
    assert list(row["times"]) == ["0", "1"] and row["ms"]["rounds"] == 2
    assert row["ms"]["median"] == pytest.approx(np.median(list(row["times"].values())))
    assert row["gmacs_per_s"] == pytest.approx(1000 * row["gmacs"] / row["ms"]["median"])
    assert row["share"] == pytest.approx(row["gmacs_per_s"] / sizes["32x16"]["matmul"]["gmacs_per_s"], rel=1e-3)


def _check_training(sections: dict) -> None:
    pipeline, training = sections["pipeline"], sections["training"]
    assert (pipeline["recipe"], pipeline["image_size"], pipeline["batch_size"]) == ("smoke", 32, 2)
    assert pipeline["pictures"] == "given folders"
    assert [row["samples_per_s"]["rounds"] for row in pipeline["rows"]] == [2, 2]
    assert all(row["samples_per_s"]["min"] > 1 for row in pipeline["rows"])
    assert (training["image_size"], training["batch_size"], training["seconds"]["rounds"]) == (32, 2, 2)
    assert set(training["gmacs"]) == {"generator", "discriminator", "verdict", "targets", "features"}
    total = sum(training["gmacs"].values())
    assert training["gmacs_per_s"] == pytest.approx(total / training["seconds"]["median"])
    assert training["images_per_s"] == pytest.approx(2 / training["seconds"]["median"])


def test_a_run_that_was_cut_goes_on_where_it_was(options, small_matrices, tmp_path):
    first = options(sections=("runtimes",))
    measure(first)
    path = tmp_path / "out" / "benchmark.json"
    cut = _read(path.parent)
    kept = cut["sections"]["runtimes"]["sizes"]["16"]
    del cut["sections"]["runtimes"]["sizes"]["32x16"], cut["sections"]["runtimes"]["finished"]
    path.write_text(json.dumps(cut))
    with pytest.raises(
        ConfigError, match=r"holds benchmark\.json already: add --resume to go on, --overwrite to begin"
    ):
        measure(first)
    found = measure(options(sections=("runtimes", "startup"), resume=True))
    assert found["sections"]["runtimes"]["sizes"]["16"] == kept
    assert list(found["sections"]["runtimes"]["sizes"]) == ["16", "32x16"]
    assert list(found["sections"]) == ["runtimes", "startup"]
    # Nothing is left to do; with --overwrite the named section is done again, and that alone.
    assert measure(options(sections=("runtimes", "startup"), resume=True)) == found
    again = measure(options(sections=("startup",), resume=True, overwrite=True))
    assert again["sections"]["runtimes"] == found["sections"]["runtimes"]
    assert again["sections"]["startup"]["rows"] != found["sections"]["startup"]["rows"]
    assert list(measure(options(sections=("startup",), overwrite=True))["sections"]) == ["startup"]


def test_figures_of_two_machines_or_settings_are_not_mixed(options, tmp_path):
    one = options(sections=("startup",), starts=1)
    measure(one)
    with pytest.raises(ConfigError, match=r"measured with other settings \(--rounds, --starts\): give the same"):
        measure(options(sections=("startup",), starts=3, rounds=5, resume=True))
    path = tmp_path / "out" / "benchmark.json"
    other = _read(path.parent)
    other["machine"]["processor"] = "another"
    path.write_text(json.dumps(other))
    with pytest.raises(ConfigError, match="measured on another machine or with other packages: begin anew by --over"):
        measure(options(sections=("startup",), starts=1, resume=True))


def test_figures_of_two_exports_of_a_style_are_not_mixed(options, light_style, tmp_path):
    style = shutil.copytree(light_style, tmp_path / "tiny")
    one = {"styles": (str(style),), "main_style": str(style), "sections": ("startup",), "starts": 1}
    measure(options(**one))
    manifest = read_manifest(style)
    again = dataclasses.replace(manifest.files[0], sha256="another")
    write_manifest(style, dataclasses.replace(manifest, files=(again,)))
    with pytest.raises(ConfigError, match=r"measured with other files of tiny: begin anew by --overwrite\.$"):
        measure(options(**one, resume=True))


def test_a_style_that_ships_since_is_noticed(options, light_style, tmp_path, monkeypatch):
    one = {"styles": (), "sections": ("startup",), "starts": 1, "out": str(tmp_path / "out")}
    monkeypatch.setattr(run, "list_styles", lambda: {"hokusai": None})
    measure(options(**one))
    monkeypatch.setattr(run, "list_styles", lambda: {"hokusai": None, "duelyst": None})
    with pytest.raises(ConfigError, match=r"measured with other files of duelyst: begin anew"):
        measure(options(**one, resume=True))


def test_what_takes_too_long_is_left_out_and_said(options, small_matrices):
    found = measure(options(sections=("runtimes",), sizes=("16",), max_gmacs=1e-9))
    part = found["sections"]["runtimes"]["sizes"]["16"]
    assert part["rows"] == [] and part["left_out"] == ["tiny, TFLite float32"]


def test_the_tables_go_into_a_page_and_nothing_is_measured(options, tmp_path, capsys):
    measure(options(sections=("startup",), starts=1))
    page = tmp_path / "docs" / "speed.md"
    page.parent.mkdir()
    page.write_text(f"# Speed\n\n{START}\nold\n{END}\n")
    run_benchmark(options(page=str(page)))
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    assert "animegan --version" in page.read_text() and "old" not in page.read_text()
    assert json.loads(page.with_suffix(".json").read_text()) == _read(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"^--page=.*nowhere\.md does not exist\.$"):
        run_benchmark(options(page=str(tmp_path / "nowhere.md")))


def test_a_busy_machine_is_said_once(options, monkeypatch, capsys):
    monkeypatch.setattr(machine, "load_average", lambda: 3.0)
    measure(options(sections=("startup",), starts=1))
    assert capsys.readouterr().err.count("benchmark: The machine is not idle (load average 3.0 on ") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--sections=runtimes,memroy"], 2, "Unknown section 'memroy': known are .* Did you mean 'memory'?"),
        (["--recipe=animeganv2"], 2, "Unknown recipe 'animeganv2': known are"),
        (["--systems=mobile"], 2, "Unknown recipe 'mobile'"),
        (["--sizes=512,1080p"], 2, "--sizes=1080p is no size: 512 is a square, 1280x720 width and height."),
        (["--large_size=7680x"], 2, "--large_size=7680x is no size"),
        (["--styles=hokusay"], 2, "Unknown style 'hokusay'"),
        (["--main_style=hokusay"], 2, "Unknown style 'hokusay'"),
        (["--anchors=nowhere"], 2, "--anchors=nowhere lacks AnimeGANv3_Shinkai_37.pb; it needs"),
        (["--photo_dir=nowhere"], 2, "--photo_dir=nowhere does not exist."),
        (["--rounds=0"], 2, "rounds"),
        (["--page=nowhere.md"], 2, "benchmark.json does not exist: measure first."),
    ],
)
def test_what_is_wrong_is_one_sentence_before_anything_is_measured(tmp_path, capsys, arguments, code, message):
    given = [f"--out={tmp_path / 'out'}", *arguments]
    assert run_program(BenchmarkOptions, run_benchmark, program="benchmark", purpose=PURPOSE, argv=given) == code
    error = capsys.readouterr().err
    assert error.startswith("benchmark: ") and error.count("\n") == 1
    for part in message.split(".*"):
        assert part in error
    assert not (tmp_path / "out").exists()


def test_sizes_are_written_width_first():
    assert read_size("512") == (512, 512) and read_size("1280x720") == (720, 1280)
    with pytest.raises(UnknownNameError, match="Unknown section 'speed'"):
        BenchmarkOptions(sections=("speed",))


def test_a_process_that_fails_says_why():
    with pytest.raises(AnimeganError, match=r"failed with code 3: .*Boom$"):
        processes.run_fresh(["python3", "-c", "import sys; sys.stderr.write('some\\nBoom'); sys.exit(3)"])


def test_the_peak_is_that_of_the_process_and_not_of_the_one_that_starts_it():
    large = np.ones(60_000_000, np.uint8)  # this process has TensorFlow besides
    taken = "data = b'x' * 100_000_000"
    small, more = (processes.run_fresh(["python3", "-c", code])["peak_mb"] for code in ("pass", taken))
    assert large.all() and small < 50 and more - small == pytest.approx(100, abs=5)


def test_made_pictures_are_as_hard_to_decode_as_photos(tmp_path):
    first, again, other = (pictures.made_picture(480, 640, seed) for seed in (1, 1, 2))
    assert first.shape == (480, 640, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    with pictures.made_folder(2) as folder:
        files = images.find_images(folder)
        assert [images.read_header(file)[1:] for file in files] == [(640, 480), (640, 480)]
        assert all(100_000 < file.stat().st_size < 200_000 for file in files)
    assert not folder.exists()
    assert pictures.made_picture(700, 1100).shape == (700, 1100, 3)
