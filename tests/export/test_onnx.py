"""ONNX files: simplified, in float16 with norms in float32, and in int8 as TensorRT wants it."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from drawn import draw_photo
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from animegan_tf import images
from animegan_tf.errors import ExportError
from animegan_tf.export import parity
from animegan_tf.export.graph import stylize_function
from animegan_tf.export.onnx import convert_onnx, simplify
from animegan_tf.export.onnx_float16 import statistics, to_float16
from animegan_tf.export.onnx_int8 import measure_bounds, quantize_onnx
from animegan_tf.export.style_folder import describe, write_style_folder
from animegan_tf.manifest import read_manifest
from animegan_tf.runtime.backends import load_backend
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SAID = {"name": "toy", "system": "fast", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}
PHOTOS = [draw_photo(seed, 64, 80) for seed in range(8)]


def run(model: bytes, image: np.ndarray) -> np.ndarray:
    """Returns what the file makes of `image`, as the file says it, without ONNX Runtime's optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: image})[0]


def kinds(model: bytes) -> list[str]:
    """Returns the operations of the file, in order."""
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def graph(nodes, constants, shape=("batch", 2, "height", "width"), result=None) -> bytes:
    """Returns the file of `nodes` from 'image' to 'stylized'."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides)
        for name, sides in (("image", shape), ("stylized", result or shape))
    ]
    initializers = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    made = helper.make_graph(nodes, "toy", ends[:1], ends[1:], initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_a_norm_behind_a_depthwise_convolution_is_folded_into_it(rng):
    kernel, gain, shift = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 1, 3, 3), (2, 1, 1), (2, 1, 1)))
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["a"], "a", group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["a", "gain"], ["b"], "b"),
        helper.make_node("Add", ["b", "shift"], ["c"], "c"),
        helper.make_node("Identity", ["c"], ["stylized"], "d"),
    ]
    model = graph(nodes, {"kernel": kernel, "gain": gain, "shift": shift})
    found = simplify(model)
    assert kinds(found) == ["Conv"]
    assert [(item.domain, item.version) for item in onnx.load_from_string(found).opset_import] == [("", 17)]
    image = rng.normal(size=(1, 2, 6, 5)).astype(np.float32)
    np.testing.assert_allclose(run(found, image), run(model, image), atol=1e-5)


def norm_graph() -> bytes:
    """Returns x -> (2 x - mean) / sqrt(mean of squares of it + 1e-3), over H and W."""
    nodes = [
        helper.make_node("Mul", ["image", "two"], ["x"], "x"),
        helper.make_node("ReduceMean", ["x"], ["mean"], "mean", axes=[2, 3]),
        helper.make_node("Sub", ["x", "mean"], ["centred"], "centred"),
        helper.make_node("Mul", ["centred", "centred"], ["square"], "square"),
        helper.make_node("ReduceMean", ["square"], ["variance"], "variance", axes=[2, 3]),
        helper.make_node("Add", ["variance", "epsilon"], ["padded"], "padded"),
        helper.make_node("Sqrt", ["padded"], ["root"], "root"),
        helper.make_node("Reciprocal", ["root"], ["inverse"], "inverse"),
        helper.make_node("Mul", ["centred", "inverse"], ["stylized"], "scaled"),
    ]
    return graph(nodes, {"two": np.float32(2), "epsilon": np.float32(1e-3)})


def test_the_statistics_of_a_norm_stay_float32(rng):
    model = norm_graph()
    kept = {"mean", "centred", "square", "variance", "padded", "root", "inverse"}
    assert statistics(onnx.load_from_string(model).graph) == kept
    half = to_float16(model)
    # Squares of 600 and more are beyond the largest float16, 65504.
    image = rng.normal(0, 400, (1, 2, 6, 5)).astype(np.float32)
    centred = 2 * image - 2 * image.mean((2, 3), keepdims=True)
    expected = centred / np.sqrt(np.square(centred).mean((2, 3), keepdims=True) + 1e-3)
    # By ONNX's own evaluator, which computes in float16 what is float16; ONNX Runtime does not on a CPU.
    (found,) = ReferenceEvaluator(onnx.load_from_string(half)).run(None, {"image": image})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert np.abs(found - expected).max() > 1e-4
    np.testing.assert_allclose(run(half, image), expected, atol=5e-3)


def test_weights_are_float16_once_and_ends_float32():
    half = onnx.load_from_string(to_float16(norm_graph())).graph
    assert {tensor.name: tensor.data_type for tensor in half.initializer} == {
        "two/half": TensorProto.FLOAT16, "epsilon": TensorProto.FLOAT,
    }  # fmt: skip
    ends = (*half.input, *half.output)
    assert [(value.name, value.type.tensor_type.elem_type) for value in ends] == [
        ("image", TensorProto.FLOAT), ("stylized", TensorProto.FLOAT),
    ]  # fmt: skip
    assert len({node.name for node in half.node}) == len(half.node)


class Conv(keras.Model):
    """A 1x1 convolution of a photo, twice, with ReLU6 between: small enough to compute by hand."""

    inputs_shape: dict = {}

    def __init__(self):
        super().__init__()
        self.first, self.last = keras.layers.Conv2D(3, 1, use_bias=False), keras.layers.Conv2D(3, 1, use_bias=False)

    def call(self, photo, training=False):
        return self.last(keras.ops.relu6(self.first(photo)))


@pytest.fixture(scope="module")
def hand_made():
    """Returns (kernels [3, 3] in NumPy, float32 file, int8 file) of `Conv`."""
    kernels = np.float32([[2, 1, 0], [-1, 0.5, 0.3], [0.2, 0.7, 1]]), np.float32([[1, 0, 0.1], [0, 1, 0], [0.5, 0, 1]])
    network = Conv()
    network(np.zeros((1, 8, 8, 3), np.float32))
    for layer, kernel in zip((network.first, network.last), kernels, strict=True):
        layer.kernel.assign(kernel[None, None])
    model = convert_onnx(stylize_function(network))
    return kernels, model, quantize_onnx(model, PHOTOS)


def test_bounds_are_the_magnitudes_that_most_photos_keep_to(hand_made):
    (first, _), model, _ = hand_made
    convolutions = [node for node in onnx.load_from_string(model).graph.node if node.op_type == "Conv"]
    source, middle = (node.input[0] for node in convolutions)
    found = measure_bounds(model, [source, middle], PHOTOS)
    pixels = [images.to_float(photo) for photo in PHOTOS]
    assert found[source] == pytest.approx(np.quantile([np.abs(x).max() for x in pixels], 0.95), abs=1e-6)
    maps = [np.clip(x @ first, 0, 6).max() for x in pixels]
    assert found[middle] == pytest.approx(np.quantile(maps, 0.95), abs=1e-5)


def test_int8_is_signed_symmetric_and_around_convolutions_alone(hand_made):
    parsed = onnx.load_from_string(hand_made[2]).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in parsed.initializer}
    made_by = {name: node for node in parsed.node for name in node.output}
    for node in parsed.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = constants[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any()
        if node.op_type == "Conv":
            assert [made_by[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
            kernel = made_by[node.input[1]].input
            assert constants[kernel[0]].dtype == np.int8 and constants[kernel[1]].shape == (3,)
    assert [node.op_type for node in parsed.node].count("QuantizeLinear") == 2
    assert {value.type.tensor_type.elem_type for value in (*parsed.input, *parsed.output)} == {TensorProto.FLOAT}


def test_int8_computes_what_rounding_by_hand_gives(hand_made):
    kernels, model, quantized = hand_made
    sources = [node.input[0] for node in onnx.load_from_string(model).graph.node if node.op_type == "Conv"]
    bounds = measure_bounds(model, sources, PHOTOS)
    steps = np.float32([bounds[name] for name in sources]) / np.float32(127)
    photo = images.to_float(draw_photo(30, 16, 24))
    kernel = np.rint(kernels[0] / (np.abs(kernels[0]).max(0) / 127)) * np.abs(kernels[0]).max(0) / 127
    x = np.clip(np.rint(photo / steps[0]), -128, 127) * steps[0]
    x = np.clip(x @ kernel, 0, 6)
    x = np.clip(np.rint(x / steps[1]), -128, 127) * steps[1]
    # The last kernel is rounded so that the result stays, not each weight; a step of it is 1/127 of its channel.
    np.testing.assert_allclose(run(quantized, photo[None])[0], x @ kernels[1], atol=0.05)
    exact = np.clip(photo @ kernels[0], 0, 6) @ kernels[1]
    assert 0 < np.abs(run(quantized, photo[None])[0] - exact).mean() < 0.02


def test_what_cannot_be_int8_is_one_sentence(hand_made):
    with pytest.raises(ExportError, match="An int8 file needs photos"):
        quantize_onnx(hand_made[1], ())
    with pytest.raises(ExportError, match="is for a network with convolutions; this one has none"):
        quantize_onnx(norm_graph(), PHOTOS)


@pytest.fixture(scope="module")
def fast_style(tmp_path_factory, new_generator):
    """Returns (style folder, network): ONNX files of a small `fast` in every precision."""
    generator, out = new_generator("fast", 8), tmp_path_factory.mktemp("onnx") / "toy"
    options = {"formats": ("onnx",), "precisions": ("float32", "float16", "int8"), "calibration": PHOTOS}
    write_style_folder(generator, describe(generator, **SAID), out=out, **options)
    return out, generator


def test_every_precision_is_a_file_of_its_own(fast_style):
    files = {file.precision: file for file in read_manifest(fast_style[0]).files}
    assert [file.path for file in files.values()] == ["model.onnx", "model_float16.onnx", "model_int8.onnx"]
    assert files["float32"].max_error < 1e-4 and files["float16"].max_error < 1e-2
    assert files["int8"].mean_error < 0.02 and files["float16"].mean_error is None
    assert max(files[name].bytes for name in ("int8", "float16")) < files["float32"].bytes
    assert read_manifest(fast_style[0]).find("onnx").precision == "float32"


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_axes_and_names_are_the_same_in_every_precision(fast_style, precision):
    file = read_manifest(fast_style[0]).find("onnx", precision)
    parsed = onnx.load(fast_style[0] / file.path)
    for value, name in ((parsed.graph.input[0], "image"), (parsed.graph.output[0], "stylized")):
        dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        assert (value.name, dims) == (name, ["batch", "height", "width", 3])
    assert [(item.domain, item.version) for item in parsed.opset_import] == [("", 17)]
    convolutions = [node for node in parsed.graph.node if node.op_type == "Conv"]
    behind = {name: node.op_type for node in parsed.graph.node for name in node.input}
    # Those of the network, and three averages for each of two doublings; no norm is left, which would multiply.
    assert len(convolutions) == 26 + 6 and "Mul" not in [behind.get(node.output[0]) for node in convolutions]


@pytest.mark.parametrize(
    ("precision", "largest", "mean"), [("float32", 1e-3, 1e-4), ("float16", 1e-2, 2e-3), ("int8", 0.5, 0.02)]
)
def test_parity_through_the_runtime(fast_style, precision, largest, mean):
    out, generator = fast_style
    backend = load_backend("onnx", out, read_manifest(out), precision)
    for size in ((256, 256), (192, 320)):
        image = images.to_float(draw_photo(50, *size))[None]
        difference = np.abs(backend.run(image) - np.asarray(generator(image, training=False)))
        assert difference.max() <= largest and difference.mean() <= mean
    photo = draw_photo(51, 33, 57)
    exact = Stylizer.load(out, "onnx")(photo).astype(int)
    assert np.abs(Stylizer.load(out, "onnx", precision)(photo) - exact).mean() <= 127.5 * mean


@pytest.mark.parametrize("system", ["animeganv2", "animeganv3"])
def test_image_wide_norms_survive_float16(system, new_generator, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    generator, out = new_generator(system, 4), tmp_path / "out"
    options = {"formats": ("onnx",), "precisions": ("float16",)}
    (file,) = write_style_folder(generator, describe(generator, **SAID), out=out, **options).files
    assert file.max_error < parity.TOLERANCES["float16"]
