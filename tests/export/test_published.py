"""Published weights: read by the names TensorFlow 1 gave them, compared with graphs of its own variable scopes."""

import importlib.util
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from animegan_tf.errors import CheckpointError
from animegan_tf.export.published import load_published, read_frozen_graph, read_tf1_checkpoint
from animegan_tf.manifest import read_manifest
from animegan_tf.models import build_generator
from animegan_tf.models.portable import portable
from animegan_tf.runtime.stylizer import Stylizer

ROOT = Path(__file__).resolve().parents[2]
ANCHORS = Path(os.environ.get("ANIMEGAN_ANCHORS", ROOT.parent / "shared" / "anchors"))
GRAPH = ANCHORS / "AnimeGANv3_Shinkai_37.pb"
V1 = tf.compat.v1

needs_anchors = pytest.mark.skipif(not GRAPH.is_file(), reason=f"no published weights: {GRAPH} (ANIMEGAN_ANCHORS)")


class _Published:
    """AnimeGAN and AnimeGANv2 as their authors' code builds them: TensorFlow 1 names its variables itself.

    Written anew on `variable_scope` with a default name, which is what contrib's layers use.
    """

    def __init__(self, norm: str, epsilon: float):
        self.norm_name, self.epsilon, self.random = norm, epsilon, np.random.default_rng(2)

    def variable(self, name, shape, mean=0.0, deviation=1.0):
        value = self.random.normal(mean, deviation, shape).astype("float32")
        return V1.get_variable(name, initializer=value, use_resource=False)

    def norm(self, x, scope=None, epsilon=None):
        with V1.variable_scope(scope, default_name=self.norm_name):
            beta = self.variable("beta", [x.shape[-1]], 0.0, 0.1)
            gamma = self.variable("gamma", [x.shape[-1]], 1.0, 0.1)
        mean, variance = tf.nn.moments(x, [1, 2, 3] if self.norm_name == "LayerNorm" else [1, 2], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon or self.epsilon)

    def pad(self, x, kernel, strides):
        before, after = (0, 1) if strides == 2 else (kernel // 2, kernel // 2)
        return tf.pad(x, [[0, 0], [before, after], [before, after], [0, 0]], "REFLECT")

    def conv(self, x, filters, kernel=3, strides=1):
        channels = x.shape[-1]
        with V1.variable_scope(None, default_name="Conv"):
            weights = self.variable("weights", [kernel, kernel, channels, filters], 0.0, (kernel**2 * channels) ** -0.5)
        return tf.nn.conv2d(self.pad(x, kernel, strides), weights, strides, "VALID")

    def block(self, x, filters, kernel=3, strides=1):
        return tf.nn.leaky_relu(self.norm(self.conv(x, filters, kernel, strides)), 0.2)

    def separable(self, x, filters, strides=1):
        with V1.variable_scope(None, default_name="SeparableConv2d"):
            depthwise = self.variable("depthwise_weights", [3, 3, x.shape[-1], 1], 0.0, 0.3)
            pointwise = self.variable("pointwise_weights", [1, 1, x.shape[-1], filters], 0.0, 0.3)
            x = tf.nn.depthwise_conv2d(self.pad(x, 3, strides), depthwise, [1, strides, strides, 1], "VALID")
            return tf.nn.leaky_relu(self.norm(tf.nn.conv2d(x, pointwise, 1, "VALID"), epsilon=1e-6), 0.2)

    def residual(self, x, filters, name, bias):
        with V1.variable_scope(name):
            y = self.block(x, 2 * x.shape[-1], 1)
            with V1.variable_scope(name):
                y = tf.nn.depthwise_conv2d(
                    self.pad(y, 3, 1), self.variable("w", [3, 3, y.shape[-1], 1], 0.0, 0.3), [1, 1, 1, 1], "VALID"
                )
                y = y + self.variable("bias", [y.shape[-1]]) if bias else y
            y = tf.nn.leaky_relu(self.norm(y, "1"), 0.2)
            y = self.norm(self.conv(y, filters, 1), "2")
            return x + y if x.shape[-1] == filters else y

    def resize(self, x, factor):
        size = tf.cast(tf.cast(tf.shape(x)[1:3], tf.float32) * factor, tf.int32)
        shape = [x.shape[0], None, None, x.shape[-1]]
        return tf.ensure_shape(tf.raw_ops.ResizeBilinear(images=x, size=size, half_pixel_centers=False), shape)

    def animeganv2(self, x, w):
        with V1.variable_scope("generator"), V1.variable_scope("G_MODEL"):
            with V1.variable_scope("A"):
                x = self.block(self.block(self.block(x, w, 7), 2 * w, strides=2), 2 * w)
            with V1.variable_scope("B"):
                x = self.block(self.block(x, 4 * w, strides=2), 4 * w)
            with V1.variable_scope("C"):
                x = self.block(x, 4 * w)
                for name in ("r1", "r2", "r3", "r4"):
                    x = self.residual(x, 8 * w, name, bias=True)
                x = self.block(x, 4 * w)
            with V1.variable_scope("D"):
                x = self.block(self.block(self.resize(x, 2), 4 * w), 4 * w)
            with V1.variable_scope("E"):
                x = self.block(self.block(self.block(self.resize(x, 2), 2 * w), 2 * w), w, 7)
            with V1.variable_scope("out_layer"):
                return tf.tanh(self.conv(x, 3, 1))

    def animegan(self, x, w):
        with V1.variable_scope("generator"), V1.variable_scope("G_MODEL"):
            with V1.variable_scope("b1"):
                x = self.block(self.block(x, w), w)
                x = self.separable(x, 2 * w, 2) + self.separable(self.resize(x, 0.5), 2 * w)
            with V1.variable_scope("b2"):
                x = self.separable(self.block(x, 2 * w), 2 * w)
                x = self.separable(x, 4 * w, 2) + self.separable(self.resize(x, 0.5), 4 * w)
            with V1.variable_scope("m"):
                x = self.block(x, 4 * w)
                for number in range(1, 9):
                    x = self.residual(x, 4 * w, f"r{number}", bias=False)
                x = self.block(x, 4 * w)
            with V1.variable_scope("u2"):
                x = self.block(self.separable(self.separable(self.resize(x, 2), 2 * w), 2 * w), 2 * w)
            with V1.variable_scope("u1"):
                x = self.block(self.block(self.separable(self.resize(x, 2), 2 * w), w), w)
            return tf.tanh(self.conv(x, 3, 1))


def _write_checkpoint(folder, system, picture, width=4):
    """Writes folder/Style-9.ckpt with a discriminator's and an optimizer's variables besides; returns the answer."""
    published = _Published("LayerNorm", 1e-12) if system == "animeganv2" else _Published("InstanceNorm", 1e-5)
    with tf.Graph().as_default(), V1.Session() as session:
        answer = getattr(published, system)(tf.constant(picture), width)
        V1.get_variable("discriminator/conv_0/kernel", initializer=np.ones((3, 3, 3, 2), "float32"))
        trained = V1.trainable_variables("generator")
        for _ in range(2):  # as published: one Adam for pre-training, one for training, over the same variables
            V1.train.AdamOptimizer(0.1).minimize(tf.reduce_mean(answer), var_list=trained)
        session.run(V1.global_variables_initializer())
        V1.train.Saver().save(session, str(folder / "Style-9.ckpt"), write_meta_graph=False)
        return session.run(answer)


@pytest.mark.parametrize(
    ("system", "variables"), [pytest.param("animegan", 129, marks=pytest.mark.slow), ("animeganv2", 77)]
)
def test_a_tensorflow_1_checkpoint_gives_the_network_it_came_from(tmp_path, rng, system, variables):
    picture = rng.uniform(-1, 1, (1, 32, 48, 3)).astype("float32")
    expected = _write_checkpoint(tmp_path, system, picture)
    sources = [tmp_path, tmp_path / "Style-9.ckpt", tmp_path / "Style-9.ckpt.index"]
    # Two Adams keep two slots of every variable each, and two powers of beta each.
    assert all(len(read_tf1_checkpoint(source)) == 5 * variables + 4 + 1 for source in sources)
    generator = load_published(sources[1])
    assert type(generator) is type(build_generator(system, 4)) and generator.width == 4
    found = np.asarray(generator(picture, training=False))
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-4)


def _v3_constants(rng, width=4) -> dict[str, np.ndarray]:
    """Returns random constants under the names of the released graph, sizes and trifles besides."""
    w, sizes = width, []
    for cin, cout, kernel in ((3, w, 7), (w, w, 3), (w, 2 * w, 3), (2 * w, 2 * w, 3), (2 * w, 4 * w, 3)):
        sizes += [(kernel, kernel, cin, cout), (1, 1, cout, cout)]
    base = [*sizes, *[(3, 3, 4 * w, 4 * w), (1, 1, 4 * w, 4 * w)] * 2]
    main = [(3, 3, 4 * w, 4 * w), (1, 1, 4 * w, 4 * w)] * 2
    for cin, cout in ((4 * w, 2 * w), (2 * w, 2 * w), (2 * w, w), (w, w)):
        main += [(3, 3, cin, cout), (1, 1, cout, cout)]
    parts = {"base": base, "main": [*main, (7, 7, w, 3)], "main/External_attention": [(1, 1, 4 * w, 4 * w)] * 2}
    shapes = {
        f"generator/{part}/Conv{f'_{number}' if number else ''}/weights": shape
        for part, all_shapes in parts.items()
        for number, shape in enumerate(all_shapes)
    }
    shapes["generator/main/External_attention/kernel"] = (1, 4 * w, 128)
    constants = {name: rng.normal(0, 0.2, shape).astype("float32") for name, shape in shapes.items()}
    for number, value in enumerate((1, 0, 0, 1)):
        name = f"generator_1/main/External_attention/Variable{f'_{number}' if number else ''}"
        constants[name] = np.full(4 * w, value, "float32")
    constants["generator_1/main/mul/y"] = np.int32(2)
    constants["generator_1/base/add/y"] = np.float32(1e-5)
    constants["generator_1/base/MirrorPad/paddings"] = np.zeros((4, 2), "int32")
    return constants


def _write_graph(path, constants):
    graph = V1.GraphDef()
    for name, value in constants.items():
        node = graph.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    graph.node.add(name="AnimeGANv3_input", op="Placeholder")
    path.write_bytes(graph.SerializeToString())
    return path


def test_a_frozen_graph_is_read_by_name(tmp_path, rng):
    constants = _v3_constants(rng)
    path = _write_graph(tmp_path / "style.pb", constants)
    read = read_frozen_graph(path)
    assert read.keys() == constants.keys()
    generator = load_published(path)
    assert generator.width == 4 and generator.attention_norm == "published"
    scope = "generator/main/External_attention"
    for variable, name in (
        (generator.base[2][1].norm.conv.conv.kernel, "generator/base/Conv_9/weights"),
        (generator.main.stages[1][0].conv.conv.kernel, "generator/main/Conv_4/weights"),
        (generator.main.to_rgb.conv.kernel, "generator/main/Conv_12/weights"),
        (generator.main.attention.project.conv.kernel, f"{scope}/Conv_1/weights"),
    ):
        np.testing.assert_array_equal(variable, constants[name])
    np.testing.assert_array_equal(generator.main.attention.memory, constants[f"{scope}/kernel"][0])


def test_a_trained_attention_norm_is_kept(tmp_path, rng):
    constants = _v3_constants(rng)
    constants["generator_1/main/External_attention/Variable_2"] += 0.5
    generator = load_published(_write_graph(tmp_path / "style.pb", constants))
    assert generator.attention_norm == "batch"
    np.testing.assert_array_equal(generator.main.attention.batch_norm.moving_mean, np.full(16, 0.5))


def _without(constants, *names):
    return {name: value for name, value in constants.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda c: _without(c, "generator/base/Conv_3/weights", "generator/main/Conv/weights"),
            "is not the published animeganv3: it lacks base/Conv_3/weights and 1 more.",
        ),
        (
            lambda c: c | {"generator/support/Conv/weights": np.ones((3, 3, 4, 4), "float32")},
            "is not the published animeganv3: it also has support/Conv/weights.",
        ),
        (
            lambda c: c | {"generator/base/Conv_2/weights": np.ones((5, 5, 4, 4), "float32")},
            r"its base/Conv_2/weights is \(5, 5, 4, 4\) where \(3, 3, 4, 4\) is needed.",
        ),
        (
            lambda c: {"generator/block/kernel": np.ones(3, "float32")},
            r"holds no generator of animegan, animeganv2, animeganv3 \(it has block/kernel\).",
        ),
        (lambda c: {"other": np.ones(3, "float32")}, "holds no generator of animegan, animeganv2, animeganv3."),
        (lambda c: {}, "is damaged or no frozen TensorFlow graph."),
    ],
)
def test_another_network_is_refused_in_one_sentence(tmp_path, rng, change, sentence):
    path = _write_graph(tmp_path / "style.pb", change(_v3_constants(rng)))
    with pytest.raises(CheckpointError, match=sentence):
        load_published(path)


def test_damaged_and_missing_files_are_refused_in_one_sentence(tmp_path, rng):
    path = _write_graph(tmp_path / "style.pb", _v3_constants(rng))
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="style.pb is damaged or no frozen TensorFlow graph."):
        load_published(path)
    with pytest.raises(CheckpointError, match="gone.pb cannot be read: No such file or directory."):
        load_published(tmp_path / "gone.pb")
    with pytest.raises(CheckpointError, match=r"holds no checkpoint \(\*.index\)."):
        load_published(tmp_path)
    (tmp_path / "a.ckpt.index").write_bytes(b"not an index")
    with pytest.raises(CheckpointError, match="a.ckpt is damaged or no TensorFlow checkpoint."):
        load_published(tmp_path)
    (tmp_path / "b.ckpt.index").write_bytes(b"")
    with pytest.raises(CheckpointError, match="holds 2 checkpoints, name one of them: a.ckpt, b.ckpt."):
        load_published(tmp_path)


@pytest.fixture
def tool(monkeypatch):
    """Returns tools/import_weights.py as a module."""
    spec = importlib.util.spec_from_file_location("import_weights", ROOT / "tools/import_weights.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "import_weights", module)  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_tool_writes_a_style_folder_that_runs(tool, tmp_path, rng, capsys):
    source = _write_graph(tmp_path / "style.pb", _v3_constants(rng))
    out = tmp_path / "out"
    assert tool.main(["--source", str(source), f"--out={out}", "--formats=tflite", "--name=mine"]) == 0
    manifest = read_manifest(out)
    assert (manifest.name, manifest.system, manifest.recipe) == ("mine", "animeganv3", "published")
    assert "noncommercial" in manifest.licence and "non-commercial" in manifest.credits
    picture = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["model_float32.tflite", "model_float16.tflite", str(out)]
    assert all("ops in XNNPACK" in line and "GPU delegate: " in line for line in lines[1::2])
    expected = np.asarray(load_published(source)((picture[None] / 127.5 - 1).astype("float32")))[0]
    found = Stylizer.load(out)(picture).astype(float)
    assert np.abs(found - (expected + 1) * 127.5).max() < 1
    capsys.readouterr()
    assert tool.main([f"--source={source}", f"--out={out}"]) == 2
    assert "add --overwrite to replace it." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--source=/nowhere.pb", "--out=/tmp/unused"], "--source=/nowhere.pb does not exist."),
        (["--out=/tmp/unused"], "--source is needed."),
        (["--source=/", "--out=/tmp/unused", "--formats=png"], "formats are saved_model, tflite, onnx."),
    ],
)
def test_wrong_use_of_the_tool_is_one_sentence_and_exit_code_2(tool, arguments, sentence, capsys):
    assert tool.main(arguments) == 2
    message = capsys.readouterr().err
    assert sentence in message and len(message.splitlines()) == 1


@pytest.fixture(scope="module")
def published():
    """Returns the imported Shinkai generator and the pictures that went through the published graph."""
    keras.mixed_precision.set_global_policy("float32")
    return load_published(GRAPH), dict(np.load(ANCHORS / "v3_shinkai_golden.npz"))


@needs_anchors
@pytest.mark.parametrize("name", ["photo", "noise"])
def test_the_published_generator_is_reproduced(published, name):
    """To 1e-5 with means in one sum; as exported, axis by axis, to the published graph's own rounding.

    From a float64 run, the published answer for the photo is 1.4e-5 away, ours axis by axis 3e-6.
    """
    generator, golden = published
    photo, expected = golden[f"{name}_in"], golden[f"{name}_out"]
    np.testing.assert_allclose(generator(photo, training=False), expected, rtol=0, atol=1e-5)
    with portable():
        by_axis = np.asarray(generator(photo, training=False))
    assert 0 < np.abs(by_axis - expected).max() < 2e-5


@needs_anchors
@pytest.mark.parametrize("size", [(16, 24), (64, 200), (136, 88)])
def test_the_published_graph_is_reproduced_at_other_sizes(published, rng, size):
    picture = rng.uniform(-1, 1, (1, *size, 3)).astype("float32")
    graph = V1.GraphDef()
    graph.ParseFromString(GRAPH.read_bytes())
    with tf.Graph().as_default(), V1.Session() as session:
        (answer,) = tf.import_graph_def(graph, return_elements=["generator_1/main/out_layer:0"], name="")
        expected = session.run(answer, {"AnimeGANv3_input:0": picture})
    np.testing.assert_allclose(published[0](picture, training=False), expected, rtol=0, atol=1e-5)
