"""Whole evaluations of tiny styles: the program, and the same from Python with arrays."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import ConfigError, DataError
from animegan_tf.evaluation.metrics import MeanGrams, psnr, ssim, style_distance
from animegan_tf.evaluation.networks import Networks, load_networks
from animegan_tf.evaluation.pictures import Photo
from animegan_tf.evaluation.run import Candidate, EvaluateOptions, evaluate, measure
from animegan_tf.options import run_program
from animegan_tf.runtime.stylizer import Stylizer

pytest.importorskip("skimage", reason="needs the extra train")
TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"
FAST = ("--vgg19_weights=none", "--features=none", "--clip=", "--rounds=0")


@pytest.fixture
def run(capsys):
    """Returns a function: arguments -> (exit code, stdout, stderr)."""
    spec = importlib.util.spec_from_file_location("evaluate", TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(*arguments):
        argv = [str(argument) for argument in arguments]
        code = run_program(EvaluateOptions, tool.main, program="evaluate", purpose="", argv=argv)
        return code, *capsys.readouterr()

    return run


def _pixels(folder) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]


def test_the_table_holds_the_means_over_all_photos(run, tiny_style, picture_dirs, tmp_path):
    photo_dir, style_dir = picture_dirs
    files = f"--json={tmp_path / 'figures.json'}", f"--sheet={tmp_path / 'sheet.png'}", "--sheet_photos=2"
    settings = "--vgg19_weights=random", "--features=vgg19", "--rounds=1", "--max_side=44"
    code, out, err = run(f"--styles={tiny_style},hokusai", f"--photo_dir={photo_dir}", f"--style_dir={style_dir}",
                         *settings, *files)  # fmt: skip
    assert (code, err) == (0, "")
    data = json.loads((tmp_path / "figures.json").read_text())
    first, second = data["results"]
    assert [first["name"], second["name"]] == ["tiny", "hokusai"] and first["pictures"] == 5
    photos = [Image.open(path) for path in sorted(photo_dir.iterdir())]
    for photo in photos:
        photo.thumbnail((44, 44), Image.Resampling.LANCZOS)
    pairs = [(np.asarray(p), Stylizer.load(tiny_style).stylize(np.asarray(p))) for p in photos]
    assert first["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert first["ssim"] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))
    # The photos' own distance is what both shares are of.
    for result in (first, second):
        assert result["style_distance"] / result["style_ratio"] == pytest.approx(data["photos"]["style_distance"])
        wanted = ("fid_style", "kid_style", "fid_photo", "content_distance", "edge_correlation", "warping_error")
        assert all(isinstance(result[name], float) for name in wanted)
    assert data["style"]["pictures"] == 3 and data["style"]["flatness"] > data["photos"]["flatness"]
    assert first["cost"]["parameters"] == 84 and first["cost"]["macs"] == 256 * 256 * 81
    assert first["cost"]["latency_ms"] > 0 and data["settings"]["features"].startswith("VGG19")
    assert f"{first['psnr']:.2f}" in out and "FID and KID by VGG19" in out and "biased upwards" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 3 * 328 + 8


def test_figures_are_those_of_the_definitions(picture_dirs):
    """Arrays in, a dataclass out; nothing of folders or styles is needed."""
    photos, style = map(_pixels, picture_dirs)
    networks = load_networks("random", "vgg19")
    inverted = Candidate("inverted", lambda photo: 255 - photo.pixels)
    some = Candidate("some", lambda photo: photo.pixels if photo.key == "1" else None)
    found = measure(
        [inverted, some],
        [Photo(pixels, str(number)) for number, pixels in enumerate(photos)],
        [Photo(pixels) for pixels in style],
        networks,
    )
    grams = {}
    for name, pictures in (("photo", photos), ("style", style), ("result", [255 - p for p in photos])):
        grams[name] = MeanGrams()
        for pixels in pictures:
            grams[name].add(networks.layers(pixels[None].astype(np.float32) / 127.5 - 1))
    first, second = found.results
    assert found.photos.style_distance == pytest.approx(style_distance(grams["photo"], grams["style"]), rel=1e-5)
    assert first.style_distance == pytest.approx(style_distance(grams["result"], grams["style"]), rel=1e-5)
    assert first.edge_correlation == pytest.approx(1) and first.flatness == pytest.approx(found.photos.flatness)
    assert first.ssim < 0.1 and first.content_distance > 0.1 and first.cost is None
    assert (second.pictures, second.ssim, second.content_distance, second.psnr) == (1, 1, 0, np.inf)
    assert second.fid_photo is None  # of a single picture
    assert "some has results of 1 of the 5 photos." in found.notes and found.sheet is None
    assert found.photos.fid_style > 0 and found.style.gradient_distance is None


def test_identical_sets_are_at_no_distance(picture_dirs):
    photos = [Photo(pixels) for pixels in _pixels(picture_dirs[0])]
    networks = load_networks("random", "vgg19")
    same = measure([Candidate("same", lambda photo: photo.pixels)], photos, photos, networks).results[0]
    assert same.fid_photo == pytest.approx(0, abs=1e-9) and same.style_distance == same.gradient_distance == 0
    assert same.style_ratio is None and same.kid_photo < 0  # the photos' own distance is 0; unbiased, so below 0


def test_folders_of_results_are_measured_beside_styles(run, tiny_style, picture_dirs, tmp_path):
    stylizer = Stylizer.load(tiny_style)
    for kind in ("mine/tiny", "yours"):
        (tmp_path / kind).mkdir(parents=True)
    for path in sorted(picture_dirs[0].iterdir()):
        Image.fromarray(stylizer.stylize(np.asarray(Image.open(path)))).save(tmp_path / f"mine/tiny/{path.stem}_x.png")
    Image.open(picture_dirs[0] / "2.png").save(tmp_path / "yours/2.png")
    (tmp_path / "yours/3.png").write_text("no picture")
    folders = f"--outputs={tmp_path / 'mine/tiny'},{tmp_path / 'yours'}"
    paths = f"--styles={tiny_style}", folders, f"--photo_dir={picture_dirs[0]}", f"--json={tmp_path / 'f.json'}"
    code, out, err = run(*paths, *FAST)
    assert code == 0 and "yours/3.png: not a picture" in err
    style, mine, yours = json.loads((tmp_path / "f.json").read_text())["results"]
    assert [style["name"], mine["name"]] == [str(tiny_style), str(tmp_path / "mine/tiny")]  # both are called tiny
    assert {k: v for k, v in mine.items() if k not in ("name", "cost")} == {
        k: v for k, v in style.items() if k not in ("name", "cost")
    }
    assert (yours["name"], yours["pictures"], yours["ssim"]) == ("yours", 1, 1)
    assert "yours has results of 1 of the 5 photos." in out and "No FID and KID: no network for them." in out


def test_a_clip_and_a_synthetic_film(picture_dirs, tiny_style, tmp_path):
    settings = dict(vgg19_weights="none", features="none", rounds=0, photo_dir=str(picture_dirs[0]))
    for number in range(3):
        Image.open(picture_dirs[0] / "0.png").save(tmp_path / f"{number}.png")
    found = evaluate(EvaluateOptions(styles=(str(tiny_style),), clip=str(tmp_path), **settings))
    assert found.photos.warping_error == found.results[0].warping_error == 0  # nothing moves
    found = evaluate(EvaluateOptions(styles=(str(tiny_style),), **settings))
    assert 0 < found.photos.warping_error < 3 and found.results[0].warping_error > 0


def test_broken_and_tiny_pictures_are_skipped_with_a_sentence(run, tiny_style, picture_dirs, tmp_path):
    for path in sorted(picture_dirs[0].iterdir())[:2]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_text("no picture")
    Image.new("RGB", (64, 8)).save(tmp_path / "strip.png")
    code, out, err = run(f"--styles={tiny_style}", f"--photo_dir={tmp_path}", *FAST)
    assert code == 0 and out.splitlines()[1].split() == ["pictures", "2", "2"]
    first, second = err.splitlines()
    assert first.startswith("skipped: ") and "broken.png: not a picture" in first
    assert "strip.png: 64x8 is too small to judge; 32 pixels a side are needed." in second


def test_a_limit_and_a_label(run, label_style, tiny_style, picture_dirs):
    arguments = f"--styles={label_style},{tiny_style}", f"--photo_dir={picture_dirs[0]}", "--limit=2", *FAST
    code, out, _ = run(*arguments, "--label=monet")
    assert code == 0 and out.splitlines()[0].split() == ["photos", "scenes-monet", "tiny"]
    assert out.splitlines()[1].split() == ["pictures", "2", "2", "2"]
    code, out, _ = run(*arguments, "--label=monet:0.75,hokusai:0.25")
    assert code == 0 and "scenes-monet" in out and "hokusai" in out
    code, _, err = run(*arguments)
    assert code == 2 and "choose one with label (--label): hokusai, duelyst, monet." in err
    code, _, err = run(*arguments, "--label=manet:2:3")
    assert code == 2 and "Unknown label 'manet:2'" in err
    code, _, err = run(*arguments, "--label=monet:1,monet:2")
    assert code == 2 and "monet stands there twice." in err


def test_a_style_picture_is_for_the_styles_that_follow_one(run, code_style, tiny_style, picture_dirs, tmp_path):
    picture, photo_dir = picture_dirs[1] / "0.png", picture_dirs[0]
    paths = f"--styles={code_style},{tiny_style}", f"--photo_dir={photo_dir}", f"--json={tmp_path / 'f.json'}"
    code, _, err = run(*paths, f"--style_image={picture}", *FAST)
    assert code == 0, err
    painter = json.loads((tmp_path / "f.json").read_text())["results"][0]
    stylizer = Stylizer.load(code_style)
    photos = _pixels(photo_dir)
    painted = [stylizer.stylize(photo, stylizer.look(code=stylizer.encode(picture))) for photo in photos]
    assert painter["name"] == "painter-0"
    assert painter["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in zip(photos, painted, strict=True)]))
    code, _, err = run(*paths, "--overwrite", *FAST)
    assert code == 2 and "style picture" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("name", ["json", "sheet"])
def test_files_are_replaced_only_when_told(run, tiny_style, picture_dirs, tmp_path, name):
    old = tmp_path / "old.png"
    old.write_text("old")
    given = (f"--styles={tiny_style}", f"--photo_dir={picture_dirs[0]}", "--vgg19_weights=none", "--features=none",
             "--clip=", "--rounds=0", f"--{name}={old}")  # fmt: skip
    code, _, error = run(*given)
    assert code == 2 and f"--{name}={old} exists already" in error and old.read_text() == "old"
    assert run(*given, "--overwrite")[0] == 0 and old.read_bytes() != b"old"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--styles=hokusai"], "--photo_dir is needed."),
        (["--photo_dir=/nowhere"], "--styles or --outputs is needed."),
        (["--styles=hokusai", "--photo_dir=/nowhere"], "--photo_dir=/nowhere does not exist."),
        (["--styles=hokusay", "--photo_dir=/nowhere"], "Unknown style 'hokusay'"),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--max_side=16"], "--max_side=16 is below 32"),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--sheet=a.txt"], "--sheet=a.txt must end in one of .jpg"),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--clip=/no.mp4"], "--clip=/no.mp4 does not exist."),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--label=monet"], "--label is for a style that holds several"),
        (["--styles=hokusai", "--photo_dir=/nowhere", "--style_image=a.png"], "--style_image is for a style that"),
        (["--outputs=/nowhere", "--photo_dir=/nowhere", "--label=monet"], "none of --styles does."),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(run, arguments, sentence):
    code, _, error = run(*arguments)
    assert code == 2 and sentence in error and len(error.splitlines()) == 1


def test_the_precision_is_that_of_the_file_that_runs(run, tiny_style, picture_dirs, tmp_path):
    arguments = f"--styles={tiny_style}", f"--photo_dir={picture_dirs[0]}", "--backend=onnx", *FAST
    code, _, err = run(*arguments, "--precision=float32", f"--json={tmp_path / 'f.json'}")
    assert code == 0, err
    found = json.loads((tmp_path / "f.json").read_text())
    stylizer = Stylizer.load(tiny_style, "onnx", "float32")
    pairs = [(photo, stylizer.stylize(photo)) for photo in _pixels(picture_dirs[0])]
    assert found["results"][0]["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert (found["settings"]["backend"], found["settings"]["precision"]) == ("onnx", "float32")
    code, _, err = run(*arguments, "--precision=int8")
    assert code == 2 and "int8" in err and len(err.splitlines()) == 1


def test_the_same_style_twice_is_refused(tiny_style, picture_dirs):
    options = EvaluateOptions(
        styles=(str(tiny_style),) * 2, photo_dir=str(picture_dirs[0]), vgg19_weights="none", features="none", rounds=0
    )
    with pytest.raises(ConfigError, match="must name each style and folder once"):
        evaluate(options)


def test_a_folder_without_a_usable_picture_is_one_sentence(run, tiny_style, tmp_path):
    (tmp_path / "broken.png").write_text("no picture")
    code, _, error = run(f"--styles={tiny_style}", f"--photo_dir={tmp_path}", *FAST)
    assert code == 2
    assert error.splitlines()[-1] == f"evaluate: --photo_dir={tmp_path}: none of its pictures can be used."


def test_results_that_cannot_be_used_at_all_are_one_sentence(picture_dirs):
    photos = [Photo(pixels) for pixels in _pixels(picture_dirs[0])]
    with pytest.raises(DataError, match="nothing: none of its results can be used."):
        measure([Candidate("nothing", lambda photo: None)], photos, None, Networks())
