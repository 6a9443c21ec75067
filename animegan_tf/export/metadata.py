"""TFLite Metadata: what a .tflite file says about itself to Android Studio, MediaPipe and whoever opens it.

Two things go into a file, both read without this package:

- a flatbuffer of the schema of TFLite Metadata (identifier M001) in the model's table `metadata`, under the name
  TFLITE_METADATA: name, version, author, licence, and for every tensor its meaning, range and normalisation;
- a zip archive behind the model, which the format calls associated files: `about.json` (what the manifest says, so that
  an app finds `margin` and `size_multiple` in the model itself) and, of a style of many styles, `labels.txt`.
  `unzip -p model_float32.tflite about.json` prints it.

Source: metadata_schema.fbs of tflite-support, version 1.0.0 of its parser; the fields below are in its order.
Differs: written by hand, because the package tflite-support does not install on the Python versions of this one.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from animegan_tf.export.tflite_graph import packed, parse
from animegan_tf.manifest import Manifest

NAME, IDENTIFIER = "TFLITE_METADATA", b"M001"
ABOUT_NAME, LABELS_NAME = "about.json", "labels.txt"
_PARSER_VERSION = "1.0.0"
_RGB, _IMAGE_PROPERTIES, _NORMALIZATION, _AXIS_LABELS = 1, 2, 1, 2
_DESCRIPTIONS = {
    "image": "Picture, RGB; H and W multiples of {multiple}. {range}",
    "stylized": "The picture in the style, of the same size. {range}",
    "label": "Weight of each class, in the order of labels.txt: one-hot, or a blend that sums to 1.",
    "code": "Code of a style picture, or a blend of codes.",
    "noise": "Zeros, or a normal draw: another way to paint the same.",
}
_RANGES = {True: "Pixels, 0 to 255.", False: "Pixels / 127.5 - 1."}
# A table of the schema, its fields in order, None where absent: int is a byte, str a string, list a vector.
Table = tuple


def with_metadata(model: bytes, manifest: Manifest) -> bytes:
    """Returns the .tflite file `model` with its metadata inside and its associated files behind it.

    Args:
      model: of `convert_tflite`, without metadata.
      manifest: of the style; its `files` are left out.
    """
    parsed = parse(model)
    data = np.frombuffer(_packed(_model_table(parsed, manifest)), np.uint8)
    parsed.metadata = [*(parsed.metadata or []), schema.MetadataT(name=NAME, buffer=len(parsed.buffers))]
    parsed.buffers.append(schema.BufferT(data=data))
    return _with_files(packed(parsed), manifest)


def _model_table(model: Any, manifest: Manifest) -> Table:
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    inputs, outputs = (
        [_tensor_table(item.name.decode(), graph.tensors[item.tensorIndex], manifest) for item in items]
        for items in (_in_order(signature.inputs, graph.inputs), _in_order(signature.outputs, graph.outputs))
    )
    key = signature.signatureKey.decode()
    description = " ".join(filter(None, (manifest.description, manifest.credits)))
    files = [(ABOUT_NAME, "What the manifest of the style says, as JSON.", None, None, None)]
    subgraph = (key, None, inputs, outputs)
    version = f"{manifest.created_with}, step {manifest.training_steps}"
    return (
        manifest.name, description, version, [subgraph], manifest.author, manifest.licence, files, _PARSER_VERSION,
    )  # fmt: skip


def _in_order(items: Sequence[Any], indices: Sequence[int]) -> list[Any]:
    # Metadata is matched to tensors by its place, and signatures are sorted by name.
    return sorted(items, key=lambda item: list(indices).index(item.tensorIndex))


def _tensor_table(name: str, tensor: Any, manifest: Manifest) -> Table:
    pixels = tensor.type == schema.TensorType.UINT8
    text = _DESCRIPTIONS[name].format(multiple=manifest.size_multiple, range=_RANGES[pixels])
    if name == "label":
        labels = (LABELS_NAME, "One class a line.", _AXIS_LABELS, None, None)
        return name, text, ["batch", "classes"], None, None, ([1.0], [0.0]), [labels]
    if name in ("code", "noise"):
        return name, text, ["batch", name]
    # Of the values before they are quantised and after they are dequantised: a uint8 file has the same two numbers.
    mean, deviation = (127.5, 127.5) if name == "image" else (-1.0, 1 / 127.5)
    unit = (_NORMALIZATION, ([mean], [deviation]))
    limits = ([255.0], [0.0]) if pixels else ([1.0], [-1.0])
    content = (_IMAGE_PROPERTIES, (_RGB,))
    return name, text, ["batch", "height", "width", "channels"], content, [unit], limits


def _packed(table: Table) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: str | list | Table) -> int:
    """Returns the place of what it wrote: what a flatbuffer points to has to be written before it."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list) and isinstance(value[0], float):
        return builder.CreateNumpyVector(np.array(value, np.float32))
    if isinstance(value, list):
        places = [_write(builder, item) for item in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    fields = [item if item is None or isinstance(item, int) else (_write(builder, item),) for item in value]
    builder.StartObject(len(fields))
    for slot, field in enumerate(fields):
        if isinstance(field, int):
            builder.PrependInt8Slot(slot, field, 0)
        elif field:
            builder.PrependUOffsetTRelativeSlot(slot, field[0], 0)
    return builder.EndObject()


def _with_files(model: bytes, manifest: Manifest) -> bytes:
    about = {name: value for name, value in dataclasses.asdict(manifest).items() if name not in ("files", "extra")}
    files = {ABOUT_NAME: json.dumps(about, indent=2, ensure_ascii=False) + "\n"}
    if manifest.classes:
        files[LABELS_NAME] = "".join(f"{name}\n" for name in manifest.classes)
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a") as archive:  # its offsets count from the start of the model
        for name, text in files.items():
            # A fixed date, so that the same style gives the same bytes.
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()
