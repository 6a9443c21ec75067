"""Every registered generator converts, and computes the same in every runtime."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from drawn import draw_photo

from animegan_tf import images
from animegan_tf.export import parity
from animegan_tf.export.reference import encode_pixels, stylize_pixels
from animegan_tf.export.run import ExportOptions, export_run
from animegan_tf.export.style_folder import describe, write_style_folder
from animegan_tf.manifest import read_manifest
from animegan_tf.models import GENERATORS
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
CLASSES = ("ink", "oil", "print")
# Rounding the weights of these to float16 alone moves them as far, untrained and with norms over the whole picture.
FLOAT16 = {"animegan": 0.05, "animeganv2": 0.02, "style_code": 0.02}


def _networks() -> dict[str, tuple]:
    """Returns generator, width and classes of every recipe, by the first recipe with such a network."""
    networks: dict[tuple, str] = {}
    for name, path in list_recipes().items():
        if name == "smoke":
            continue  # another recipe's network, narrow
        config = read_flagfile(path)
        networks.setdefault((config.generator, config.generator_width, config.classes), name)
    return {name: network for network, name in networks.items()}


NETWORKS = _networks()
# Batch norm alone, no statistics of the whole picture: what int8 is for.
BATCH_NORM = [name for name, network in NETWORKS.items() if GENERATORS[network[0]].receptive_radius is not None]


def _files(generator) -> list[tuple[str, str, str]]:
    files = [
        ("saved_model", "float32", "generator"),
        ("tflite", "float32", "generator"),
        ("tflite", "float16", "generator"),
        ("tflite", "float32", "style_encoder"),
        ("onnx", "float32", "generator"),
        ("onnx", "float32", "style_encoder"),
    ]
    return files if generator.encodes_style else [file for file in files if file[2] == "generator"]


def _looks(stylizer: Stylizer, generator) -> list[tuple[dict, dict]]:
    """Returns pairs: how to call the stylizer, and the network, for the same result."""
    if stylizer.classes:
        rows = np.eye(len(stylizer.classes), dtype=np.float32)
        return [({"label": name}, {"label": row[None]}) for name, row in zip(stylizer.classes, rows, strict=True)]
    if stylizer.encodes_style:
        style = parity.check_picture(120, 90)[0]
        noise = np.zeros((1, *generator.inputs_shape["noise"]), np.float32)
        return [({"code": stylizer.encode(style)}, {"code": encode_pixels(generator, style), "noise": noise})]
    return [({}, {})]


def _assert_all_files_equal(out, generator, sizes) -> None:
    for file in read_manifest(out).files:
        if file.role == "style_encoder":
            continue  # is used for the codes below
        stylizer = Stylizer.load(out, backend=file.format, precision=file.precision)
        # In uint8 levels; rounding the weights to float16 is what moves the untrained norm-heavy networks.
        levels = 1 if file.precision == "float32" else 7
        for height, width in sizes:
            picture = parity.check_picture(height, width)[0]
            for choice, further in _looks(stylizer, generator):
                expected = images.to_uint8(stylize_pixels(generator, picture, further))
                difference = np.abs(stylizer(picture, **choice).astype(int) - expected)
                assert difference.max() <= levels and difference.mean() < 0.5, (file.path, height, width)


def _assert_xnnpack_takes_all(path) -> None:
    """One part, from the file's inputs to its outputs, in the words that the GPU delegate knows as well."""
    interpreter = Interpreter(str(path))
    image = next(detail["index"] for detail in interpreter.get_input_details() if len(detail["shape"]) == 4)
    interpreter.resize_tensor_input(image, (1, 64, 96, 3))
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    parts = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
    own = [operator for operator in operators if operator["op_name"] != "DELEGATE"]
    (part,) = parts
    computed = {tensor for operator in own for tensor in operator["outputs"].tolist()}
    assert not computed & set(part["inputs"].tolist())
    assert part["outputs"].tolist() == [detail["index"] for detail in interpreter.get_output_details()]
    slow = {"MIRROR_PAD", "SQUARED_DIFFERENCE", "SHAPE", "TRANSPOSE", "TRANSPOSE_CONV", "RESIZE_BILINEAR"}
    assert not slow & {operator["op_name"] for operator in own}
    assert all(len(detail["shape"]) <= 4 for detail in interpreter.get_tensor_details())


@pytest.mark.parametrize("system", sorted(GENERATORS))
def test_every_generator_becomes_an_equal_tflite_file(tmp_path, system, new_generator, monkeypatch):
    monkeypatch.setattr(parity, "SIZES", ((64, 64), (32, 96)))
    generator = new_generator(system, classes=len(CLASSES))
    classes = CLASSES if "label" in generator.inputs_shape else ()
    manifest = describe(generator, name="x", system=system, recipe="", licence="", credits="", classes=classes)
    manifest = write_style_folder(
        generator, manifest, out=tmp_path / "out", formats=("tflite",), precisions=("float32",)
    )
    assert [(f.format, f.precision, f.role) for f in manifest.files] == [
        file for file in _files(generator) if file[:2] == ("tflite", "float32")
    ]
    assert all(file.max_error <= parity.TOLERANCES["float32"] for file in manifest.files)
    assert read_manifest(tmp_path / "out").receptive_radius == generator.receptive_radius
    _assert_all_files_equal(tmp_path / "out", generator, [(33, 57)])
    for file in manifest.files:
        _assert_xnnpack_takes_all(tmp_path / "out" / file.path)


def _export_and_compare(root, generator) -> None:
    manifest = export_run(ExportOptions(run_dir=str(root / "run"), out=str(root / "out")))
    assert [(f.format, f.precision, f.role) for f in manifest.files] == _files(generator)
    assert all(f.max_error <= parity.TOLERANCES["float32"] for f in manifest.files if f.format == "onnx")
    for file in manifest.files:
        assert file.precision != "float16" or file.max_error <= FLOAT16.get(manifest.system, 0.01)
    _assert_all_files_equal(root / "out", generator, [(256, 256), (192, 320), (33, 57)])


def test_every_generator_is_some_recipe_s():
    assert {network[0] for network in NETWORKS.values()} == set(GENERATORS)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", NETWORKS)
def test_the_generator_of_every_recipe_exports_equal(tmp_path, recipe, write_run):
    _export_and_compare(tmp_path, write_run(tmp_path / "run", *NETWORKS[recipe]))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", BATCH_NORM)
def test_in_int8_the_generator_of_a_recipe_with_batch_norm_alone_is_near(tmp_path, recipe, new_generator):
    system, width, _ = NETWORKS[recipe]
    generator, out = new_generator(system, width), tmp_path / "out"
    manifest = describe(generator, name="x", system=system, recipe=recipe, licence="", credits="")
    photos = [draw_photo(seed, 96, 128) for seed in range(12)]
    options = {"formats": ("tflite",), "precisions": ("int8",), "calibration": photos}
    (file,) = write_style_folder(generator, manifest, out=out, **options).files
    assert 0 < file.mean_error <= 0.02
    stylizer = Stylizer.load(out, precision="int8")
    for size in ((256, 256), (192, 320), (101, 137)):
        photo = draw_photo(40, *size)
        difference = images.to_float(stylizer(photo)) - stylize_pixels(generator, photo, {})
        assert np.abs(difference).mean() <= 0.02, size


def test_int8_is_tried_on_every_network_that_it_is_for():
    assert BATCH_NORM == ["art_wgan_gp", "fast_painted", "mobile_distilled", "mobile_hinge"]
