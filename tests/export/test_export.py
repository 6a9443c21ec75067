"""Exports of a run: what the folder holds, and what differs never leaves the export."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.errors import CheckpointError, ConfigError, ExportError, ImageError, StyleError
from animegan_tf.export import parity
from animegan_tf.export import run as export
from animegan_tf.export.reference import stylize_pixels
from animegan_tf.export.run import ExportOptions, export_run, main
from animegan_tf.manifest import digest, read_manifest
from animegan_tf.models import build_generator
from animegan_tf.options import to_flagfile
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def fast_run(tmp_path_factory, write_run):
    """Returns (run folder, exported style folder, network) of a small fast generator."""
    root = tmp_path_factory.mktemp("export")
    generator = write_run(root / "run", "fast", 8)
    options = ExportOptions(run_dir=str(root / "run"), out=str(root / "style"), license="CC0-1.0", credits="nobody")
    export_run(options)
    return root / "run", root / "style", generator


def test_under_another_backend_the_sentence_names_the_setting(fast_run, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "chosen_backend", lambda: "jax")
    with pytest.raises(ConfigError, match="^Exporting runs on TensorFlow, not on jax: set KERAS_BACKEND=tensorflow"):
        export_run(ExportOptions(run_dir=str(fast_run[0]), out=str(tmp_path / "style")))


def test_the_manifest_says_what_the_files_are(fast_run):
    _, out, generator = fast_run
    manifest = read_manifest(out)
    assert (manifest.name, manifest.system, manifest.recipe) == ("style", "fast", "test_recipe")
    assert (manifest.training_steps, manifest.size_multiple) == (7, generator.size_multiple)
    assert (manifest.licence, manifest.credits) == ("CC0-1.0", "nobody")
    assert manifest.parameters == sum(variable.numpy().size for variable in generator.inference_variables)
    for file in manifest.files:
        assert digest(out / file.path) == file.sha256 and file.bytes > 10_000
    assert json.loads((out / "manifest.json").read_text())["pixel_range"] == [-1.0, 1.0]


def test_onnx_axes_and_names(fast_run):
    import onnx

    graph = onnx.load(fast_run[1] / "model.onnx").graph
    for value, name in ((graph.input[0], "image"), (graph.output[0], "stylized")):
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        assert (value.name, dims) == (name, ["batch", "height", "width", 3])


def test_serve_bytes_decodes_and_encodes(fast_run):
    import tensorflow as tf

    _, out, generator = fast_run
    loaded = tf.saved_model.load(str(out / "saved_model"))
    pictures = [parity.check_picture(40, 52)[0], parity.check_picture(33, 21)[0]]
    encoded = [images.encode_picture(images.Picture(p), ".png") for p in pictures]
    answers = loaded.signatures["serve_bytes"](image_bytes=tf.constant(encoded))["stylized_bytes"].numpy()
    stylize = loaded.signatures["serving_default"]
    for picture, answer in zip(pictures, answers, strict=True):
        expected = stylize(image=tf.constant(picture[None]))["stylized"].numpy()[0]
        np.testing.assert_array_equal(images.read_picture(bytes(answer)).pixels, expected)


def test_the_saved_model_holds_every_weight_once(fast_run):
    _, out, generator = fast_run
    size = sum(path.stat().st_size for path in (out / "saved_model/variables").iterdir())
    numbers = sum(variable.numpy().size for variable in generator.inference_variables)
    # Without what batch renormalisation needs besides to train: three numbers for each channel of a norm.
    assert generator.count_params() - numbers == 3 * sum(v.shape[0] for v in generator.variables if v.name == "gamma")
    assert 4 * numbers < size < 4 * numbers + 30_000


def test_a_one_pixel_picture_is_served(fast_run):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(fast_run[1] / "saved_model"))
    assert loaded.signatures["serving_default"](image=tf.zeros((2, 1, 1, 3), tf.uint8))["stylized"].shape == (
        2,
        1,
        1,
        3,
    )


def test_the_averaged_weights_of_the_newest_checkpoint_are_taken(fast_run, tmp_path):
    run, _, _ = fast_run
    shutil.copytree(run, tmp_path / "run")
    newer = tmp_path / "run/checkpoints/step-00000009"
    shutil.copytree(tmp_path / "run/checkpoints/step-00000007", newer)
    options = ExportOptions(run_dir=str(tmp_path / "run"), out=str(tmp_path / "out"), formats=("onnx",))
    assert export_run(options).training_steps == 9
    older = replace(options, step=7, overwrite=True)
    assert export_run(older).training_steps == 7


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory, write_run):
    """Returns (run folder, network) of a small conditional generator with two classes."""
    folder = tmp_path_factory.mktemp("conditional") / "run"
    return folder, write_run(folder, "conditional", 4, ("ink", "oil"))


def test_a_run_with_classes_becomes_a_style_with_them(conditional_run, tmp_path, monkeypatch):
    run, generator = conditional_run
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    photo = tmp_path / "photo.png"
    images.write_picture(photo, images.Picture(parity.check_picture(40, 60)[0]))
    out = tmp_path / "out"
    export_run(ExportOptions(run_dir=str(run), out=str(out), formats=("tflite",), preview_photo=str(photo)))
    manifest = read_manifest(out)
    assert (manifest.system, manifest.inputs, manifest.classes) == ("conditional", {"label": (2,)}, ("ink", "oil"))
    assert manifest.parameters == generator.count_params()
    assert images.read_picture(out / "preview.jpg").pixels.shape == (40, 180, 3)
    stylizer, picture = Stylizer.load(out), parity.check_picture(64, 64)[0]
    expected = stylize_pixels(generator, picture, {"label": np.float32([[0, 1]])})
    assert np.abs(stylizer(picture, label="oil").astype(int) - images.to_uint8(expected)).max() <= 1


def test_style_pictures_are_for_styles_that_follow_one(fast_run, tmp_path, write_run):
    picture = tmp_path / "picture.png"
    images.write_picture(picture, images.Picture(parity.check_picture(40, 60)[0]))
    with pytest.raises(ConfigError, match="--preview_styles needs --preview_photo"):
        ExportOptions(run_dir="x", out="y", preview_styles=(str(picture),))
    write_run(tmp_path / "run", "style_code", 4)
    for run, styles in ((fast_run[0], (str(picture),)), (tmp_path / "run", ())):
        options = ExportOptions(
            run_dir=str(run), out=str(tmp_path / "out"), preview_photo=str(picture), preview_styles=styles
        )
        with pytest.raises(ConfigError, match="--preview_styles is for styles that follow a style picture"):
            export_run(options)


def test_a_run_that_follows_style_pictures_has_them_in_its_preview(tmp_path, write_run, monkeypatch):
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    write_run(tmp_path / "run", "style_code", 4)
    for name, size in (("photo", (40, 60)), ("style", (30, 60))):
        images.write_picture(tmp_path / f"{name}.png", images.Picture(parity.check_picture(*size)[0]))
    arguments = [f"--run_dir={tmp_path / 'run'}", f"--out={tmp_path / 'out'}", "--formats=tflite"]
    arguments += [f"--preview_photo={tmp_path / 'photo.png'}", f"--preview_styles={tmp_path / 'style.png'}"]
    assert main(arguments) == 0
    assert images.read_picture(tmp_path / "out/preview.jpg").pixels.shape == (60, 120, 3)
    manifest = read_manifest(tmp_path / "out")
    assert manifest.inputs == {"code": (64,), "noise": (16,)} and manifest.classes == ()
    assert manifest.find("tflite", role="style_encoder").path == "style_encoder_float32.tflite"


def test_a_file_that_differs_is_refused(fast_run, tmp_path):
    _, out, generator = fast_run
    other = build_generator("fast", 8)
    for file in read_manifest(out).files:
        with pytest.raises(ExportError, match="differs from the Keras network by"):
            parity.measure(other, out / file.path, file.format, file.precision)
    (tmp_path / "x.tflite").write_bytes(b"not a model")
    with pytest.raises(ExportError, match="x.tflite was written but does not run"):
        parity.measure(generator, tmp_path / "x.tflite", "tflite", "float32")


def test_nan_is_a_difference(fast_run):
    _, out, _ = fast_run
    broken = build_generator("fast", 8)
    broken.variables[0].assign(broken.variables[0] * 0 + np.nan)
    with pytest.raises(ExportError, match="differs from the Keras network by nan"):
        parity.measure(broken, out / "model_float32.tflite", "tflite", "float32")


def test_nan_at_the_second_size_only_is_a_difference(fast_run, monkeypatch):
    _, out, generator = fast_run

    def runner(path, role):
        run = parity._onnx(path, role)
        return lambda image: run(image=image) * (1 if image.shape[1] == 256 else np.nan)

    monkeypatch.setitem(parity._RUNNERS, "onnx", runner)
    with pytest.raises(ExportError, match="differs from the Keras network by nan"):
        parity.measure(generator, out / "model.onnx", "onnx", "float32")


def test_a_failed_export_leaves_the_old_style(fast_run, tmp_path, monkeypatch):
    run, out, _ = fast_run
    shutil.copytree(out, tmp_path / "style")
    before = (tmp_path / "style/manifest.json").read_text()
    monkeypatch.setitem(parity.TOLERANCES, "float32", -1.0)
    options = ExportOptions(run_dir=str(run), out=str(tmp_path / "style"), formats=("onnx",), overwrite=True)
    with pytest.raises(ExportError):
        export_run(options)
    assert (tmp_path / "style/manifest.json").read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["style"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"run_dir": "/nowhere"}, ConfigError, "--run_dir=/nowhere is not a run folder"),
        ({"step": 8}, CheckpointError, "holds no checkpoint of step 8"),
        ({"out": "/dev/null/x"}, ExportError, "--out=/dev/null/x cannot be written"),
        ({"preview_photo": "/nowhere.jpg"}, ImageError, "/nowhere.jpg: no such file"),
        ({"name": "a/b"}, StyleError, "manifest.json"),
    ],
)
def test_wrong_exports_are_one_sentence(fast_run, tmp_path, change, error, message):
    options = ExportOptions(run_dir=str(fast_run[0]), out=str(tmp_path / "out"), formats=("onnx",))
    with pytest.raises(error, match=message) as caught:
        export_run(replace(options, **change))
    assert "\n" not in str(caught.value)


def test_existing_folders_are_safe(fast_run, tmp_path):
    options = ExportOptions(run_dir=str(fast_run[0]), out=str(fast_run[1]))
    with pytest.raises(ConfigError, match="exists: add --overwrite"):
        export_run(options)
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConfigError, match="is not a style folder, so --overwrite does not touch it"):
        export_run(replace(options, out=str(tmp_path / "photos"), overwrite=True))


def test_weights_of_another_network_are_refused(fast_run, tmp_path):
    shutil.copytree(fast_run[0], tmp_path / "run")
    text = to_flagfile(TrainConfig(generator="animeganv2_lite", generator_width=8))
    (tmp_path / "run/recipe.flags").write_text(text)
    with pytest.raises(CheckpointError, match="does not fit the generator of"):
        export_run(ExportOptions(run_dir=str(tmp_path / "run"), out=str(tmp_path / "out")))


def test_options_are_checked():
    with pytest.raises(ConfigError, match="--out is needed"):
        ExportOptions(run_dir="x")
    with pytest.raises(ConfigError, match="--formats=tflight: formats are saved_model, tflite, onnx"):
        ExportOptions(run_dir="x", out="y", formats=("tflight",))


def test_the_program_prints_files_and_errors(fast_run, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    images.write_picture(photo, images.Picture(parity.check_picture(40, 60)[0]))
    arguments = [f"--run_dir={fast_run[0]}", f"--out={tmp_path / 'out'}", "--formats=onnx", f"--preview_photo={photo}"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out")
    assert images.read_picture(tmp_path / "out/preview.jpg").pixels.shape == (40, 120, 3)
    assert main(["--run_dir=/nowhere", "--out=x"]) == 2
    assert capsys.readouterr().err.startswith("animegan-export: --run_dir=/nowhere is not a run folder")
