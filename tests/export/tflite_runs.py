"""A .tflite file of one input and one output, run on one array."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def run_tflite(data: bytes, image: np.ndarray, resolver: OpResolverType = OpResolverType.AUTO) -> np.ndarray:
    """Returns what the file makes of `image`; both in the types of the file."""
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], image.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])
