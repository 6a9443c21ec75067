"""Style folders of generators with further inputs, shown on small networks of our own."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from animegan_tf import images
from animegan_tf.errors import ConfigError, ExportError, StyleError
from animegan_tf.export import graph, parity
from animegan_tf.export.preview import draw_preview
from animegan_tf.export.reference import encode_pixels, stylize_pixels
from animegan_tf.export.style_folder import check_target, describe, write_style_folder
from animegan_tf.manifest import read_manifest
from animegan_tf.models import Generator
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
CLASSES = ("ink", "oil", "print")
SAID = {"name": "toy", "system": "toy", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}


class LabelToy(Generator):
    """tanh(conv(relu(conv(photo) + label @ table))): a style is a row of the table."""

    published_width = 4
    size_multiple = 4
    margin = 3

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        self.stem = layers.Conv2D(self.width, 3, padding="same")
        self.table = layers.Dense(self.width, use_bias=False)
        self.to_rgb = layers.Conv2D(3, 3, padding="same")
        self.unused = layers.Dense(2)

    @property
    def inputs_shape(self):
        return {"label": (3,)}

    @property
    def inference_variables(self):
        return [*self.stem.variables, *self.table.variables, *self.to_rgb.variables]

    def build(self, input_shape):
        self.unused.build((None, 5))
        super().build(input_shape)

    def call(self, photo, label, training=False):
        x = ops.relu(self.stem(photo) + self.table(label)[:, None, None, :])
        return ops.tanh(self.to_rgb(x))


class SwappedToy(LabelToy):
    """Takes the second class for the third."""

    def call(self, photo, label, training=False):
        return super().call(photo, ops.take(label, [0, 2, 1], axis=1))


class DeafToy(LabelToy):
    """Draws the first class, whatever the label."""

    def call(self, photo, label, training=False):
        return super().call(photo, ops.zeros_like(label) + ops.convert_to_tensor([1.0, 0.0, 0.0]))


class CodeToy(Generator):
    """tanh(conv(relu(conv(photo) x code gain + noise bias))), and an encoder that reads means of a convolution."""

    published_width = 4
    size_multiple = 4
    encodes_style = True

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        self.stem = layers.Conv2D(self.width, 3, padding="same")
        self.gain, self.bias = layers.Dense(self.width), layers.Dense(self.width, use_bias=False)
        self.to_rgb = layers.Conv2D(3, 3, padding="same")
        self.look, self.summary = layers.Conv2D(self.width, 3, 2, activation="relu"), layers.Dense(5)

    @property
    def inputs_shape(self):
        return {"code": (5,), "noise": (3,)}

    def build(self, input_shape):
        self.look.build(input_shape)
        self.summary.build((None, self.width))
        super().build(input_shape)

    def encode(self, image):
        return self.summary(ops.mean(self.look(image), axis=(1, 2)))

    def call(self, photo, code, noise, training=False):
        x = self.stem(photo) * self.gain(code)[:, None, None, :] + self.bias(noise)[:, None, None, :]
        return ops.tanh(self.to_rgb(ops.relu(x)))


class CodeDeafToy(CodeToy):
    """Does not look at the code."""

    def call(self, photo, code, noise, training=False):
        return super().call(photo, ops.zeros_like(code), noise)


class NoiseDeafToy(CodeToy):
    """Does not look at the noise."""

    def call(self, photo, code, noise, training=False):
        return super().call(photo, code, ops.zeros_like(noise))


class OtherEncoderToy(CodeToy):
    """Encodes every picture to half the code."""

    def encode(self, image):
        return 0.5 * super().encode(image)


def _built(kind, like: Generator | None = None) -> Generator:
    keras.utils.set_random_seed(3)
    toy = kind()
    toy.build((1, 32, 32, 3))
    for variable, source in zip(toy.variables, like.variables if like else (), strict=bool(like)):
        variable.assign(source)
    return toy


def _write(toy: Generator, out, **options):
    return write_style_folder(toy, describe(toy, **SAID, classes=_classes(toy)), out=out, **options)


def _classes(toy: Generator) -> tuple[str, ...]:
    return CLASSES if isinstance(toy, LabelToy) else ()


@pytest.fixture(scope="module", autouse=True)
def small_pictures():
    """Checks on small pictures: these networks are the same at every size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SIZES", ((64, 64), (32, 96)))
        patch.setattr(parity, "STYLE_SIZES", ((64, 64), (37, 51)))
        yield


@pytest.fixture(scope="module")
def label_toy(tmp_path_factory):
    """Returns (style folder in every format, its network) of a generator with a label."""
    toy, out = _built(LabelToy), tmp_path_factory.mktemp("label") / "toy"
    _write(toy, out)
    return out, toy


@pytest.fixture(scope="module")
def code_toy(tmp_path_factory):
    """Returns (style folder in every format, its network) of a generator with code and noise."""
    toy, out = _built(CodeToy), tmp_path_factory.mktemp("code") / "toy"
    _write(toy, out)
    return out, toy


def test_the_manifest_tells_of_inputs_classes_and_roles(label_toy, code_toy):
    label, code = read_manifest(label_toy[0]), read_manifest(code_toy[0])
    assert (label.inputs, label.classes, label.margin) == ({"label": (3,)}, CLASSES, 3)
    assert (code.inputs, code.classes) == ({"code": (5,), "noise": (3,)}, ())
    # 3x3x3x4 + 4, 3x4, 3x3x4x3 + 3: what is not in the files does not count.
    assert label.parameters == 112 + 12 + 111
    assert [file.path for file in code.files] == [
        "saved_model",
        "model_float32.tflite",
        "model_float16.tflite",
        "style_encoder_float32.tflite",
        "model.onnx",
        "style_encoder.onnx",
    ]
    assert {file.path for file in code.files if file.role == "style_encoder"} == {
        "style_encoder_float32.tflite",
        "style_encoder.onnx",
    }
    assert all(
        file.max_error < 1e-5 for file in code.files if file.precision == "float32" and file.format != "saved_model"
    )


@pytest.mark.parametrize("format", ["tflite", "onnx", "saved_model"])
def test_every_class_comes_through_the_runtime(label_toy, format):
    out, toy = label_toy
    stylizer, picture = Stylizer.load(out, format), parity.check_picture(33, 57)[0]
    results = [stylizer(picture, label=name).astype(int) for name in CLASSES]
    for result, row in zip(results, np.eye(3, dtype=np.float32), strict=True):
        expected = images.to_uint8(stylize_pixels(toy, picture, {"label": row[None]}))
        assert np.abs(result - expected).max() <= 1
    assert min(np.abs(results[i] - results[i - 1]).mean() for i in range(3)) > 2


@pytest.mark.parametrize("format", ["tflite", "onnx", "saved_model"])
def test_codes_and_noise_come_through_the_runtime(code_toy, format):
    out, toy = code_toy
    stylizer, picture = Stylizer.load(out, format), parity.check_picture(33, 57)[0]
    style = parity.check_picture(41, 35)[0]
    code = stylizer.encode(style)
    np.testing.assert_allclose(code.values[None], encode_pixels(toy, style), atol=1e-5)
    further = {"code": encode_pixels(toy, style), "noise": np.zeros((1, 3), np.float32)}
    expected = images.to_uint8(stylize_pixels(toy, picture, further))
    plain = stylizer(picture, code=code).astype(int)
    assert np.abs(plain - expected).max() <= 1
    assert np.abs(stylizer(picture, code=code, variation=1) - plain).mean() > 1


def test_onnx_axes_and_names(label_toy, code_toy):
    import onnx

    def shapes(path):
        graph = onnx.load(path).graph
        return {
            value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
            for value in (*graph.input, *graph.output)
        }

    picture = ["batch", "height", "width", 3]
    assert shapes(label_toy[0] / "model.onnx") == {"image": picture, "label": ["batch", 3], "stylized": picture}
    assert shapes(code_toy[0] / "style_encoder.onnx") == {"image": picture, "code": ["batch", 5]}


def test_tflite_inputs_and_outputs_have_their_names(code_toy):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(code_toy[0] / "model_float16.tflite"))
    inputs = {detail["name"]: detail["shape_signature"].tolist() for detail in interpreter.get_input_details()}
    assert inputs == {"image": [1, -1, -1, 3], "code": [1, 5], "noise": [1, 3]}
    signature = interpreter.get_signature_list()["stylize"]
    assert set(signature["inputs"]) == set(inputs) and signature["outputs"] == ["stylized"]
    encoder = Interpreter(str(code_toy[0] / "style_encoder_float32.tflite"))
    assert encoder.get_output_details()[0]["name"] == "code"
    assert encoder.get_signature_list() == {"encode": {"inputs": ["image"], "outputs": ["code"]}}


def test_a_batch_has_a_style_for_each_picture(label_toy):
    import onnxruntime
    import tensorflow as tf

    out, toy = label_toy
    pictures = np.concatenate([parity.check_picture(32, 36)] * 2)
    labels = np.float32([[0, 1, 0], [0.5, 0, 0.5]])
    session = onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["stylized"], {"image": images.to_float(pictures), "label": labels})[0]
    expected = np.asarray(toy(images.to_float(pictures), label=labels))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).mean() > 0.02

    loaded = tf.saved_model.load(str(out / "saved_model"))
    served = loaded.signatures["serving_default"](image=tf.constant(pictures), label=tf.constant(labels))["stylized"]
    for picture, label, result in zip(pictures, labels, served.numpy(), strict=True):
        expected = images.to_uint8(stylize_pixels(toy, picture, {"label": label[None]}))
        assert np.abs(result.astype(int) - expected).max() <= 1

    encoded = [images.encode_picture(images.Picture(picture), ".png") for picture in pictures]
    answers = loaded.signatures["serve_bytes"](image_bytes=tf.constant(encoded), label=tf.constant(labels))
    for answer, result in zip(answers["stylized_bytes"].numpy(), served.numpy(), strict=True):
        np.testing.assert_array_equal(images.read_picture(bytes(answer)).pixels, result)


def test_a_saved_model_encodes_pictures_of_any_size(code_toy):
    import tensorflow as tf

    out, toy = code_toy
    encode = tf.saved_model.load(str(out / "saved_model")).signatures
    for size in ((1, 1), (20, 45), (64, 64)):
        picture = parity.check_picture(*size)
        found = encode["encode_style"](image=tf.constant(picture))["code"].numpy()
        np.testing.assert_allclose(found, encode_pixels(toy, picture[0]), atol=1e-5)


def test_a_saved_model_holds_only_what_inference_reads(label_toy):
    import tensorflow as tf

    out, toy = label_toy
    shapes = [shape for _, shape in tf.train.list_variables(str(out / "saved_model/variables/variables"))]
    assert sum(int(np.prod(shape)) for shape in shapes if shape) == describe(toy, **SAID).parameters
    assert [2] not in shapes


@pytest.mark.parametrize(("kind", "format"), [(SwappedToy, "onnx"), (DeafToy, "tflite"), (SwappedToy, "saved_model")])
def test_a_file_that_draws_another_class_is_refused(label_toy, tmp_path, kind, format):
    _assert_refused(label_toy[1], kind, format, tmp_path)


@pytest.mark.parametrize(
    ("kind", "format"),
    [
        (CodeDeafToy, "tflite"),
        (NoiseDeafToy, "tflite"),
        (NoiseDeafToy, "saved_model"),
        (OtherEncoderToy, "saved_model"),
    ],
)
def test_a_file_that_ignores_code_or_noise_is_refused(code_toy, tmp_path, kind, format):
    _assert_refused(code_toy[1], kind, format, tmp_path)


def _assert_refused(toy, kind, format, tmp_path) -> None:
    """Writes the files of a wrong network of the same weights, and measures them against the right one."""
    wrong = _built(kind, like=toy)
    file = next(file for file in _write(wrong, tmp_path / "wrong", formats=(format,)).files)
    with pytest.raises(ExportError, match="differs from the Keras network by"):
        parity.measure(toy, tmp_path / "wrong" / file.path, format, file.precision)


@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_an_encoder_that_differs_is_refused(code_toy, format):
    out, toy = code_toy
    file = read_manifest(out).find(format, role="style_encoder")
    assert parity.measure_encoder(toy, out / file.path, format) < 1e-5
    with pytest.raises(ExportError, match=f"{file.path} differs from the Keras network by"):
        parity.measure_encoder(_built(OtherEncoderToy, like=toy), out / file.path, format)


def test_a_dropped_input_is_an_error():
    function = graph.stylize_function(_built(CodeToy))
    graph.check_inputs_kept(function, ["noise", "image", "code"], "ONNX")
    with pytest.raises(ExportError, match="The ONNX file lost the input noise: the network does not use it"):
        graph.check_inputs_kept(function, ["image", "code"], "ONNX")


def test_check_inputs_tell_classes_apart():
    one_hot, blend = (values["label"] for values in parity.check_inputs({"label": (3,)}))
    np.testing.assert_array_equal(one_hot, [[1, 0, 0]])
    np.testing.assert_allclose(blend, [[1 / 6, 2 / 6, 3 / 6]])
    first, second = parity.check_inputs({"code": (64,), "noise": (16,)})
    assert first["code"].shape == (1, 64) and 0.7 < first["code"].std() < 1.3
    assert not first["noise"].any() and second["noise"].all()
    assert parity.check_inputs({}) == [{}]


def test_previews_show_every_class_and_every_style_picture(label_toy, code_toy):
    photo = parity.check_picture(40, 60)[0]
    preview = draw_preview(label_toy[1], photo)
    assert preview.shape == (40, 240, 3)
    np.testing.assert_array_equal(preview[:, :60], photo)
    label = np.eye(3, dtype=np.float32)[2:]
    np.testing.assert_array_equal(
        preview[:, 180:], images.to_uint8(stylize_pixels(label_toy[1], photo, {"label": label}))
    )
    style = np.full((10, 10, 3), (200, 30, 60), np.uint8)
    preview = draw_preview(code_toy[1], photo, [style, photo])
    assert preview.shape == (60, 180, 3)
    assert (preview[:20, :60] == 255).all() and (preview[:20, 80:100] == (200, 30, 60)).all()
    np.testing.assert_array_equal(preview[20:, :60], photo)
    further = {"code": encode_pixels(code_toy[1], style), "noise": np.zeros((1, 3), np.float32)}
    np.testing.assert_array_equal(preview[20:, 60:120], images.to_uint8(stylize_pixels(code_toy[1], photo, further)))


def test_what_cannot_be_written_is_refused(tmp_path):
    toy = _built(LabelToy)
    with pytest.raises(ConfigError, match="--formats=onyx: formats are saved_model, tflite, onnx"):
        _write(toy, tmp_path / "out", formats=("onyx",))
    with pytest.raises(StyleError, match="has 0 classes where its network has 3"):
        write_style_folder(toy, describe(toy, **SAID), out=tmp_path / "out", formats=("onnx",))
    with pytest.raises(ConfigError, match="is not a style folder"):
        check_target(tmp_path, overwrite=True)
    assert not list(tmp_path.iterdir())
