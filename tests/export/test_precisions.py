"""The precisions and sizes a style folder is written in, and that each file computes what the network does."""

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.errors import ConfigError, ExportError
from animegan_tf.export import parity
from animegan_tf.export.precisions import check_precisions, precisions_of
from animegan_tf.export.run import ExportOptions, export_run, main
from animegan_tf.export.style_folder import describe, write_style_folder
from animegan_tf.manifest import read_manifest
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SAID = {"name": "toy", "system": "fast", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}
TFLITE = ("float32", "float16", "dynamic_int8", "int8")


def draw_photo(seed: int, height: int = 64, width: int = 80) -> np.ndarray:
    """Returns uint8 [H, W, 3]: smooth colours of the whole range, as areas of a photo are."""
    grid = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


PHOTOS = [draw_photo(seed) for seed in range(8)]


@pytest.mark.parametrize(
    ("format", "wanted", "calibrates", "expected"),
    [
        ("tflite", (), False, ["float32", "float16"]),
        ("tflite", (), True, ["float32", "float16", "int8"]),
        ("tflite", ("int8", "float32"), True, ["float32", "int8"]),
        ("tflite", ("dynamic_int8",), False, ["dynamic_int8"]),
        ("onnx", (), True, ["float32"]),
        ("onnx", ("dynamic_int8", "float32"), False, ["float32"]),
        ("saved_model", ("float32",), False, []),
    ],
)
def test_what_is_written(format, wanted, calibrates, expected):
    assert precisions_of(format, wanted, calibrates) == expected


@pytest.mark.parametrize(
    ("wanted", "formats", "calibrates", "message"),
    [
        (("int4",), ("tflite",), False, r"--precisions=int4: precisions are float32, float16, dynamic_int8, int8\.$"),
        (("dynamic_int8",), ("onnx",), False, r"--precisions=dynamic_int8: no file of --formats=onnx is written in it"),
        (("int8",), ("tflite",), False, r"--precisions=int8 needs photos to calibrate on: --calibration_dir\.$"),
        (("float32",), ("tflite",), True, "--calibration_dir is for int8 files"),
        ((), ("saved_model",), True, "--calibration_dir is for int8 files"),
    ],
)
def test_what_is_of_no_use_is_one_sentence(wanted, formats, calibrates, message):
    with pytest.raises(ConfigError, match=message):
        check_precisions(wanted, formats, calibrates)
    with pytest.raises(ConfigError, match=message):
        ExportOptions(
            run_dir="x", out="y", formats=formats, precisions=wanted, calibration_dir="z" if calibrates else ""
        )


@pytest.fixture(scope="module")
def fast_style(tmp_path_factory, new_generator):
    """Returns (style folder, network): every TFLite precision, for any size and for 96x112."""
    generator, out = new_generator("fast", 8), tmp_path_factory.mktemp("precisions") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SIZES", ((64, 64), (32, 96)))
        # Of random weights nothing is expected.
        patch.setattr(parity, "MEAN_TOLERANCES", dict.fromkeys(parity.MEAN_TOLERANCES, 1.0))
        options = {"formats": ("tflite",), "precisions": TFLITE, "fixed_size": (96, 112), "calibration": PHOTOS}
        write_style_folder(generator, describe(generator, **SAID), out=out, **options)
    return out, generator


def test_every_precision_is_written_for_any_size_and_for_one(fast_style):
    manifest = read_manifest(fast_style[0])
    assert [(file.path, file.size) for file in manifest.files] == [
        *((f"model_{precision}.tflite", None) for precision in TFLITE),
        *((f"model_{precision}_96x112.tflite", (96, 112)) for precision in TFLITE),
    ]
    assert [file.mean_error is None for file in manifest.files] == [True, True, False, False] * 2
    for precision in (None, *TFLITE):
        assert manifest.find("tflite", precision).size is None


def test_a_file_of_one_size_takes_no_other_and_computes_the_same(fast_style, rng):
    from ai_edge_litert.interpreter import Interpreter

    out, generator = fast_style
    image = rng.uniform(-1, 1, (1, 96, 112, 3)).astype(np.float32)
    expected = np.asarray(generator(image, training=False))
    fixed = Interpreter(str(out / "model_float32_96x112.tflite"))
    (detail,) = fixed.get_input_details()
    assert detail["shape_signature"].tolist() == [1, 96, 112, 3]
    assert fixed.get_output_details()[0]["shape"].tolist() == [1, 96, 112, 3]
    np.testing.assert_allclose(fixed.get_signature_runner()(image=image)["stylized"], expected, atol=1e-4)


@pytest.mark.parametrize("precision", TFLITE)
def test_signatures_have_sensible_names(fast_style, precision):
    from ai_edge_litert.interpreter import Interpreter

    for suffix in ("", "_96x112"):
        interpreter = Interpreter(str(fast_style[0] / f"model_{precision}{suffix}.tflite"))
        assert interpreter.get_signature_list() == {"stylize": {"inputs": ["image"], "outputs": ["stylized"]}}
        kind = np.uint8 if precision == "int8" else np.float32
        result = interpreter.get_signature_runner("stylize")(image=np.zeros((1, 96, 112, 3), kind))
        assert result["stylized"].shape == (1, 96, 112, 3) and result["stylized"].dtype == kind


def test_weights_are_stored_in_fewer_bytes(fast_style):
    sizes = {file.precision: file.bytes for file in read_manifest(fast_style[0]).files if not file.size}
    assert sizes["int8"] < sizes["float16"] < sizes["float32"]
    assert sizes["dynamic_int8"] < sizes["float16"]


def test_dynamic_int8_runs_through_the_runtime_when_asked_for(fast_style):
    out, generator = fast_style
    photo = draw_photo(90, 50, 70)
    exact = Stylizer.load(out)(photo).astype(int)
    found = Stylizer.load(out, precision="dynamic_int8")(photo)
    assert found.dtype == np.uint8 and 0 < np.abs(found - exact).mean() < 6  # random weights


def test_the_mean_of_dynamic_int8_is_of_the_check_picture(fast_style, monkeypatch):
    out, generator = fast_style
    path = out / "model_dynamic_int8_96x112.tflite"
    largest, mean = parity.measure_mean(generator, path, "tflite", [(96, 112)])
    image = images.to_float(parity.check_picture(96, 112))
    from ai_edge_litert.interpreter import Interpreter

    found = Interpreter(str(path)).get_signature_runner()(image=image)["stylized"]
    difference = np.abs(found - np.asarray(generator(image, training=False)))
    assert (largest, mean) == (pytest.approx(difference.max()), pytest.approx(difference.mean()))
    file = next(file for file in read_manifest(out).files if file.path == path.name)
    assert (file.max_error, file.mean_error) == (pytest.approx(largest), pytest.approx(mean))
    monkeypatch.setitem(parity.MEAN_TOLERANCES, "dynamic_int8", mean / 2)
    with pytest.raises(ExportError, match=r"loses too much in int8 \(leave it out of --precisions\)"):
        parity.measure_mean(generator, path, "tflite", [(96, 112)])
    path = out.parent / "broken.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportError, match="broken.tflite was written but does not run"):
        parity.measure_mean(generator, path, "tflite")


@pytest.mark.parametrize("size", ["720", "x", "0x32", "720x-8", "7.5x8"])
def test_a_size_is_a_height_and_a_width(size):
    with pytest.raises(ConfigError, match=f"--fixed_size={size} is not a height and a width, such as 720x1280"):
        ExportOptions(run_dir="x", out="y", fixed_size=size)


def test_the_program_says_what_delegates_take_and_refuses_sizes(tmp_path, write_run, monkeypatch, capsys):
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    write_run(tmp_path / "run", "fast", 4)
    arguments = [f"--run_dir={tmp_path / 'run'}", "--formats=tflite", "--precisions=float32", "--author=me"]
    for size in ("92x96", "80x96"):
        with pytest.raises(
            ConfigError,
            match=f"--fixed_size={size}: sides must be multiples of 8, 88 or more, of which 80 are the margin",
        ):
            export_run(
                ExportOptions(
                    run_dir=str(tmp_path / "run"), out=str(tmp_path / "no"), formats=("tflite",), fixed_size=size
                )
            )
    assert main([*arguments, f"--out={tmp_path / 'out'}", "--fixed_size=88x96"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == [
        "model_float32.tflite", "model_float32_88x96.tflite", str(tmp_path / "out"),
    ]  # fmt: skip
    assert lines[1].endswith("ops in XNNPACK; GPU delegate: has all, once the file is of one size (--fixed_size)")
    assert lines[3].endswith("ops in XNNPACK; GPU delegate: has all")
    assert read_manifest(tmp_path / "out").author == "me"
    assert main([*arguments[:1], "--formats=onnx", "--fixed_size=88x96", f"--out={tmp_path / 'other'}"]) == 2
    assert "--fixed_size=88x96 is for TFLite files: add tflite to --formats." in capsys.readouterr().err
