"""From a float32 ONNX file to float16: half the file, computed in half precision by GPUs; float32 in and out.

The statistics of norms stay float32: squares of maps leave the range of float16, and means of a whole picture its
precision. On a CPU ONNX Runtime computes most of it in float32 all the same, and no faster.

Differs: onnxruntime.transformers.float16 (1.31) gives two nodes one name where a tensor is read by two that stay
float32, as every norm does, and such a file does not load.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16
_STATISTICS = {"ReduceMean", "ReduceSum", "Sqrt", "Reciprocal"}
# Their floats are attributes.
_SOURCES = {"Constant", "ConstantOfShape"}
_LARGEST = float(np.finfo(np.float16).max)


def to_float16(model: bytes) -> bytes:
    """Returns the bytes of an .onnx file that computes as `model`, in float16 but for the statistics of norms."""
    parsed = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    converter = _Converter(parsed.graph)
    converter.convert()
    del parsed.graph.value_info[:]
    onnx.checker.check_model(parsed, full_check=True)
    return parsed.SerializeToString()


class _Converter:
    """Goes through the nodes in their order and casts what is read in another type than it was made in."""

    def __init__(self, graph: onnx.GraphProto):
        self.graph = graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == FLOAT}
        values = (*graph.input, *graph.output, *graph.value_info)
        floats = {value.name for value in values if value.type.tensor_type.elem_type == FLOAT}
        self.floats = floats | set(self.constants)
        self.type_of = {value.name: FLOAT for value in graph.input}
        self.kept = statistics(graph)
        self.nodes: list[onnx.NodeProto] = []
        self.casts: dict[tuple[str, int], str] = {}

    def convert(self) -> None:
        """Replaces the nodes and constants of the graph."""
        outputs = {value.name for value in self.graph.output}
        for node in self.graph.node:
            kind = FLOAT if node.name in self.kept or node.op_type in _SOURCES else HALF
            node.input[:] = [self._read(name, kind) for name in node.input]
            for attribute in node.attribute:
                if node.op_type == "Cast" and attribute.i == FLOAT:
                    attribute.i = kind
            self.type_of |= {name: kind for name in node.output}
            self.nodes.append(node)
        for name in outputs:
            self._give_as_float(name)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)
        read = {name for node in self.nodes for name in node.input}
        left = [tensor for tensor in self.graph.initializer if tensor.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(left)

    def _read(self, name: str, kind: int) -> str:
        """Returns the name under which float tensor `name` is to be had as `kind`; of other tensors their own."""
        if name not in self.floats or self.type_of.get(name, FLOAT) == kind:
            return name
        if (name, kind) not in self.casts:
            new = f"{name}/{'half' if kind == HALF else 'float'}"
            self.casts[name, kind] = new
            if name in self.constants:
                values = numpy_helper.to_array(self.constants[name]).clip(-_LARGEST, _LARGEST)
                self.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), new))
            else:
                self.nodes.append(helper.make_node("Cast", [name], [new], f"{new}/cast", to=kind))
        return self.casts[name, kind]

    def _give_as_float(self, name: str) -> None:
        if self.type_of[name] == FLOAT or name not in self.floats:
            return
        half = f"{name}/half"
        for node in self.nodes:
            node.input[:] = [half if item == name else item for item in node.input]
            node.output[:] = [half if item == name else item for item in node.output]
        self.nodes.append(helper.make_node("Cast", [half], [name], f"{name}/cast", to=FLOAT))


def statistics(graph: onnx.GraphProto) -> set[str]:
    """Returns the names of the nodes that compute means, variances and what they are divided by.

    A square and the difference that it is of belong to them, and what is added before a root.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    found = set()
    for node in graph.node:
        is_square = node.op_type == "Mul" and node.input[0] == node.input[1]
        if is_square or node.op_type in _STATISTICS:
            found.add(node.name)
        if (is_square or node.op_type in ("Sqrt", "Reciprocal")) and node.input[0] in made_by:
            found.add(made_by[node.input[0]].name)
    return found
