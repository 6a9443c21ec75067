"""What is measured: shipped styles, exported networks, published models; loaded, run, counted."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from animegan_tf import images
from animegan_tf.benchmark import contestants as c
from animegan_tf.benchmark import exported, published
from animegan_tf.benchmark.options import BenchmarkOptions
from animegan_tf.errors import DataError
from animegan_tf.manifest import read_manifest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
ROOT = Path(__file__).resolve().parents[2]
ANCHORS = Path(os.environ.get("ANIMEGAN_ANCHORS", ROOT.parent / "shared" / "anchors"))
needs_anchors = pytest.mark.skipif(not (ANCHORS / c.GRAPH).is_file(), reason=f"no published weights in {ANCHORS}")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory) -> Path:
    """Returns a folder with files under the published names that compute tanh(1.5 x), as their formats are read."""
    import tensorflow as tf
    import tf2onnx

    def network(image, name=None):
        kernel = tf.constant(1.5 * np.eye(3, dtype=np.float32)[None, None])
        return tf.tanh(tf.nn.conv2d(image, kernel, 1, "VALID"), name)

    folder = tmp_path_factory.mktemp("published")
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [1, None, None, 3], "AnimeGANv3_input")
        network(image, "generator_1/main/out_layer")
    (folder / c.GRAPH).write_bytes(graph.as_graph_def().SerializeToString())
    fixed = tf.function(network, input_signature=[tf.TensorSpec([1, 512, 512, 3], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([fixed.get_concrete_function()], tf.Module())
    (folder / c.FIXED).write_bytes(converter.convert())
    signature = [tf.TensorSpec([1, None, None, 3], tf.float32, "image")]
    model, _ = tf2onnx.convert.from_function(tf.function(network, signature), signature, opset=17)
    (folder / c.TINY).write_bytes(model.SerializeToString())
    return folder


def test_a_style_has_a_contestant_for_each_file_of_its_generator(tiny_style, code_style):
    found = c.style_contestants(str(tiny_style))
    assert [each.name for each in found] == [
        "tiny, TFLite float32", "tiny, ONNX Runtime float32", "tiny, TensorFlow float32",
    ]  # fmt: skip
    assert [each.resident for each in found] == [False, False, True]
    assert len(c.style_contestants(str(code_style))) == 3  # and none for its encoder


def test_a_contestant_stylizes_as_the_style_does(tiny_style, label_style, tiny_reference):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)
    expected = images.to_uint8(tiny_reference(images.to_float(pixels)))
    for each in c.style_contestants(str(tiny_style)):
        again = c.Contestant(**dataclasses.asdict(each))  # as a process of its own is told
        assert np.abs(again.load()(pixels).astype(int) - expected).max() <= 1, each.name
    label = c.style_contestants(str(label_style))[0]
    assert np.ptp(label.load()(pixels)) <= 1  # a label of zeros: grey


def test_work_grows_with_the_area_that_is_really_computed(tiny_style):
    tflite, onnx, saved_model = c.style_contestants(str(tiny_style))
    blur = 9 * 3 * 3
    assert tflite.macs((256, 256)) == onnx.macs((256, 256)) == saved_model.macs((256, 256)) == 256 * 256 * blur
    assert tflite.macs((20, 65)) == 32 * 72 * blur  # at least 32 pixels, multiples of 8


def test_sizes_may_be_limited_or_fixed():
    any_size = c.Contestant("a", "style", "a", "tflite", "int8")
    small, fixed = dataclasses.replace(any_size, up_to=100 * 100), dataclasses.replace(any_size, fixed=512)
    assert [each.takes((100, 101)) for each in (any_size, small, fixed)] == [True, False, False]
    assert [each.takes((512, 512)) for each in (any_size, small, fixed)] == [True, False, True]


def test_published_models_run_as_they_are(stand_ins):
    found = c.published_contestants(stand_ins)
    assert [each.name for each in found] == [
        "published v3, TensorFlow float32", "published v3, TFLite float16", "published v3-tiny, ONNX Runtime float32",
    ]  # fmt: skip
    # The graph takes multiples of 8, the tiny network of 16.
    sides, padded = [(20, 30), (512, 512), (20, 30)], [24 * 32, 512 * 512, 32 * 32]
    for each, size, area in zip(found, sides, padded, strict=True):
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
        expected = images.to_uint8(np.tanh(1.5 * images.to_float(pixels)))
        assert np.abs(each.load()(pixels).astype(int) - expected).max() <= 1, each.name
        assert each.macs(size) == area * 3 * 3


def test_a_missing_published_model_is_one_sentence(stand_ins, tmp_path):
    (tmp_path / c.GRAPH).write_bytes((stand_ins / c.GRAPH).read_bytes())
    with pytest.raises(DataError, match=rf"^--anchors={tmp_path} lacks {c.FIXED}; it needs {c.GRAPH}, "):
        c.published_contestants(tmp_path)


@needs_anchors
def test_the_published_graph_computes_its_golden_picture():
    golden = np.load(ANCHORS / "v3_shinkai_golden.npz")
    compute = published._load_graph(ANCHORS / c.GRAPH)
    assert np.abs(compute(golden["noise_in"]) - golden["noise_out"]).max() < 1e-3
    # 29.6 GMAC at 512x512; the network of this package counts the same, see test_macs.py for how.
    from animegan_tf.benchmark.macs import count_generator

    network = count_generator(exported._imported(ANCHORS / c.GRAPH), 64)
    assert published.count_graph(ANCHORS / c.GRAPH, 64) == pytest.approx(network, rel=0.01)


def test_one_recipe_of_each_generator_is_exported():
    found = exported.system_recipes(())
    assert exported.COMPARED in found and {"smoke", "fast_style", "animeganv2_paprika"}.isdisjoint(found)
    assert len(found) == 9  # of ten generators; the styles that ship are the tenth
    assert exported.system_recipes(("none",)) == [] and exported.system_recipes(("smoke",)) == ["smoke"]


def test_networks_are_exported_once_and_say_what_they_cost(tmp_path):
    options = BenchmarkOptions(out=str(tmp_path), systems=("smoke",))
    (found,) = exported.exported_contestants(options)
    assert (found.network, found.kind, found.runtime, found.up_to) == ("smoke", "system", "TFLite float32", 512 * 512)
    manifest = read_manifest(Path(found.source))
    # As exported, doubling and the convolution behind it take fewer than in the network: see test_portable.py.
    assert manifest.system == "animeganv2" and 0.9 < found.macs((256, 256)) / manifest.extra["macs_256"] < 1
    written = Path(found.source, "manifest.json").stat().st_mtime_ns
    assert exported.exported_contestants(options) == [found]
    assert Path(found.source, "manifest.json").stat().st_mtime_ns == written


def test_another_recipe_or_other_weights_are_another_network(tmp_path):
    source = tmp_path / "weights.pb"
    export = exported.Export("imported", source, build=lambda: None)
    digests = set()
    for content in (b"--generator_width=32", b"--generator_width=64"):
        source.write_bytes(content)
        digests |= {exported._digest(export), exported._digest(export)}
    assert len(digests) == 2
    assert exported._system("smoke", 4).source.name == "smoke.flags"


def test_the_network_that_is_compared_with_is_written_in_every_format():
    export = exported._system(exported.COMPARED, 0)
    assert set(export.formats) == {"saved_model", "tflite", "onnx"} and export.up_to == 0
    assert export.precisions == ("float32", "dynamic_int8")
    assert exported._system("mobile_hinge", 4).network == "mobile_hinge 4"
