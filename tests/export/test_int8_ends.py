"""The ends of int8 files: other operations, the same bytes, in XNNPACK and in TFLite's own kernels."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from drawn import draw_photo
from tflite_runs import run_tflite

from animegan_tf.export import int8
from animegan_tf.export.graph import stylize_function
from animegan_tf.export.int8_ends import delegate_ends
from animegan_tf.export.tflite import convert_tflite
from animegan_tf.export.tflite_graph import packed, parse

PLAIN = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


@pytest.fixture(scope="module")
def as_quantized(new_generator):
    """Returns the int8 file of a small `fast` as it is before its ends are rewritten."""
    photos = [draw_photo(seed, 48, 64) for seed in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "delegate_ends", lambda model: None)
        return convert_tflite(stylize_function(new_generator("fast", 8), 1, (None, None)), "int8", photos)


def rewritten(data: bytes) -> bytes:
    model = parse(data)
    delegate_ends(model)
    return packed(model)


def operators(data: bytes) -> list[str]:
    found = Interpreter(model_content=data, experimental_op_resolver_type=PLAIN)._get_ops_details()
    return [details["op_name"] for details in found]


def test_ends_are_of_operations_that_xnnpack_takes(as_quantized):
    before, after = operators(as_quantized), operators(rewritten(as_quantized))
    assert (before[:2], before[-1]) == (["QUANTIZE", "SPACE_TO_DEPTH"], "QUANTIZE")
    assert (after[:3], after[-2:]) == (["DEQUANTIZE", "QUANTIZE", "CONV_2D"], ["DEQUANTIZE", "QUANTIZE"])
    assert after[3:-2] == before[2:-1]


@pytest.mark.parametrize("resolver", [OpResolverType.AUTO, PLAIN], ids=["xnnpack", "plain"])
@pytest.mark.parametrize("size", [(64, 64), (40, 104)])
def test_the_bytes_are_the_same(as_quantized, resolver, size):
    # All values, and noise: every rounding of the last scale is met.
    pixels = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)
    expected = run_tflite(as_quantized, pixels, resolver)
    assert len(np.unique(expected)) > 150
    np.testing.assert_array_equal(run_tflite(rewritten(as_quantized), pixels, resolver), expected)


def test_blocks_of_many_channels_stay_as_they_are(as_quantized):
    model = parse(as_quantized)
    model.subgraphs[0].operators[1].builtinOptions.blockSize = 4  # 48 channels: no longer the network, but a graph
    delegate_ends(model)
    assert operators(packed(model))[2] == "SPACE_TO_DEPTH"
