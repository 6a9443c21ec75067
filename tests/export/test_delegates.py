"""How much of a file the delegates take: of graphs whose answer is known, and of `fast` in every precision."""

import numpy as np
import pytest
import tensorflow as tf

from animegan_tf.export.delegates import Coverage, measure_coverage
from animegan_tf.export.graph import stylize_function
from animegan_tf.export.tflite import convert_tflite

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def convert(compute, shape=(1, 8, 8, 4)) -> bytes:
    """Returns the .tflite file of a function of `image`."""
    function = tf.function(compute, input_signature=[tf.TensorSpec(shape, tf.float32, "image")])
    return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module()).convert()


def test_what_xnnpack_lacks_stays_behind_and_cuts_the_graph_in_two():
    kernel = tf.ones((3, 3, 4, 4))

    def compute(x):
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        x = tf.cumsum(tf.cumsum(x, 1), 2)
        return tf.tanh(tf.nn.conv2d(x, kernel, 1, "SAME"))

    found = measure_coverage(convert(compute))
    assert found == Coverage(5, 3, 2, {"CUMSUM": 2}, ())
    assert str(found) == "3 of 5 ops in XNNPACK, 2 parts (not 2 CUMSUM); GPU delegate: has all"


def test_of_any_size_the_gpu_waits_for_one():
    found = measure_coverage(convert(tf.tanh, (1, None, None, 4)))
    assert found == Coverage(1, 1, 1, {}, (), any_size=True)
    assert str(found).endswith("; GPU delegate: has all, once the file is of one size (--fixed_size)")
    refused = Coverage(2, 1, 1, {"CUMSUM": 1}, ("SEGMENT_SUM",), any_size=True)
    assert str(refused).endswith("; GPU delegate: lacks SEGMENT_SUM")


def test_a_branch_that_goes_round_a_part_does_not_count_as_its_own():
    def compute(x):
        wide = tf.tanh(x)
        return tf.cumsum(wide, 1) * wide + tf.abs(x)

    assert measure_coverage(convert(compute)).left == {"CUMSUM": 1}


def test_what_the_gpu_lacks_is_named():
    def compute(x):
        x = tf.transpose(tf.reshape(x, (1, 4, 2, 8, 4)), (0, 1, 3, 2, 4))
        return tf.math.segment_sum(tf.reshape(x, (8, 32)), tf.range(8) // 2)

    found = measure_coverage(convert(compute))
    assert "TRANSPOSE of more than 4 dimensions" in found.refused and "SEGMENT_SUM" in found.refused
    assert "GPU delegate: lacks " in str(found)


@pytest.fixture(scope="module")
def coverages(new_generator):
    """Returns (precision, fixed) -> Coverage of a small `fast`."""
    generator = new_generator("fast", 8)
    photos = [np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)]
    return {
        (precision, size is not None): measure_coverage(
            convert_tflite(stylize_function(generator, 1, size or (None, None)), precision, photos)
        )
        for precision in ("float32", "float16", "dynamic_int8", "int8")
        for size in (None, (64, 96))
    }


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic_int8", "int8"])
def test_of_one_size_all_of_fast_is_one_part_in_xnnpack(coverages, precision):
    found = coverages[precision, True]
    assert found.taken == found.operations and found.parts == 1 and not found.left and not found.refused
    assert str(found) == f"{found.taken} of {found.taken} ops in XNNPACK; GPU delegate: has all"


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic_int8", "int8"])
def test_of_any_size_all_of_fast_is_one_part_in_xnnpack(coverages, precision):
    found = coverages[precision, False]
    assert found.taken / found.operations == 1.0 and found.parts == 1 and not found.left and not found.refused
