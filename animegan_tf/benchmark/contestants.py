"""What is measured: files of networks, each in one runtime, described by strings, so that any process can load them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from animegan_tf.benchmark import published
from animegan_tf.errors import DataError
from animegan_tf.evaluation.cost import count_macs, count_onnx, count_tflite
from animegan_tf.images import MINIMUM_SIDE, pad_to_multiple
from animegan_tf.manifest import Manifest
from animegan_tf.runtime.looks import Look
from animegan_tf.runtime.stylizer import Stylizer, find_style, read_style

Stylize = Callable[[np.ndarray], np.ndarray]
"""[H, W, 3] uint8 RGB -> the same."""

MACS_SIDE = 256
GRAPH, FIXED, TINY = (
    "AnimeGANv3_Shinkai_37.pb",
    "AnimeGANv3_Hayao_36_QUANTIZED_fp16.tflite",
    "AnimeGANv3_tiny_Cute.onnx",
)
PUBLISHED = {GRAPH: "published v3", FIXED: "published v3", TINY: "published v3-tiny"}
_RUNTIMES = {"tflite": "TFLite", "onnx": "ONNX Runtime", "saved_model": "TensorFlow", "graph": "TensorFlow"}


@dataclass(frozen=True)
class Contestant:
    """A network's file.

    network: as it is called in tables. kind: 'style' (ships), 'system' (untrained, or imported), 'published'.
    source: a style's name or folder, or a published model's file. format: 'tflite', 'onnx', 'saved_model', or 'graph'.
    precision: of the file. up_to: it is timed for pictures of no more pixels; 0: all. fixed: the one side it takes; 0:
    any.
    """

    network: str
    kind: str
    source: str
    format: str
    precision: str
    up_to: int = 0
    fixed: int = 0

    @property
    def runtime(self) -> str:
        """The runtime and the precision of the file: 'TFLite int8'."""
        return f"{_RUNTIMES[self.format]} {self.precision}"

    @property
    def name(self) -> str:
        """Tells it from all others."""
        return f"{self.network}, {self.runtime}"

    @property
    def resident(self) -> bool:
        """Whether it can stay loaded beside others: TensorFlow gives the maps of a picture back after a call."""
        return self.format in ("saved_model", "graph")

    def takes(self, size: tuple[int, int]) -> bool:
        """Returns whether it is timed for pictures of (height, width)."""
        if self.fixed:
            return size == (self.fixed, self.fixed)
        return not self.up_to or size[0] * size[1] <= self.up_to

    def load(self) -> Stylize:
        """Returns it ready to be called. Raises the errors of `Stylizer.load`."""
        if self.kind == "published":
            return published.load(Path(self.source), self.format)
        stylizer = Stylizer.load(self.source, self.format, self.precision)
        return functools.partial(stylizer.stylize, look=_blank_look(stylizer.manifest))

    def macs(self, size: tuple[int, int]) -> int:
        """Returns the multiply-accumulates of a picture of (height, width), with what is added around it.

        Counted at 256x256 as the file does them, or as the network does them for TensorFlow's formats, and multiplied
        by the area. A SavedModel that does not say has those of its style's other file.
        """
        side = self.fixed or MACS_SIDE
        if self.kind == "published":
            padding = (published.MULTIPLES[self.format], 0, 0)
        else:
            manifest = read_style(self.source)
            padding = (manifest.size_multiple, MINIMUM_SIDE, manifest.margin)
        height, width = pad_to_multiple(np.empty((*size, 1), np.uint8), *padding).shape[:2]
        return round(_count(self.source, self.format, self.precision, side) * height * width / side**2)


def style_contestants(style: str, kind: str = "style", network: str = "", up_to: int = 0) -> list[Contestant]:
    """Returns a contestant for each generator of a style, by name or folder, that takes any size.

    Raises:
      UnknownNameError, UsageError: no such style. StyleError: its folder has no usable manifest.
    """
    manifest = read_style(style)
    return [
        Contestant(network or manifest.name, kind, style, file.format, file.precision, up_to)
        for file in manifest.files
        if file.role == "generator" and file.size is None
    ]


def published_contestants(folder: Path) -> list[Contestant]:
    """Returns a contestant for each published model in `folder`. Raises DataError where one of them is missing."""
    for name in PUBLISHED:
        if not (folder / name).is_file():
            raise DataError(f"--anchors={folder} lacks {name}; it needs {', '.join(PUBLISHED)}.")
    kinds = {GRAPH: ("graph", "float32", 0), FIXED: ("tflite", "float16", 512), TINY: ("onnx", "float32", 0)}
    return [
        Contestant(PUBLISHED[name], "published", str(folder / name), format, precision, fixed=fixed)
        for name, (format, precision, fixed) in kinds.items()
    ]


def _blank_look(manifest: Manifest) -> Look:
    inputs = {name: np.zeros((1, *shape), np.float32) for name, shape in manifest.inputs.items()}
    return Look(manifest.name, inputs)


@functools.lru_cache
def _count(source: str, format: str, precision: str, side: int) -> int:
    if Path(source).suffix == ".pb":
        return published.count_graph(Path(source), side)
    if Path(source).is_file():
        return {"tflite": count_tflite, "onnx": count_onnx}[format](Path(source), side)
    folder, manifest = find_style(source), read_style(source)
    if format == "saved_model":
        counted = manifest.extra.get("macs_256")
        return counted or count_macs(folder, manifest, side) or 0
    file = manifest.find(format, precision)
    assert file is not None  # style_contestants
    return {"tflite": count_tflite, "onnx": count_onnx}[format](folder / file.path, side)
