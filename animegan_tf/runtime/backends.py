"""Runs one model file of a style: TFLite (the default), ONNX or SavedModel, behind one method.

A backend is chosen by name from `BACKENDS`; a new one is one class here. The packages behind them are imported
when a model is loaded, so that each user needs only the one in use.
"""

from __future__ import annotations

import abc
import importlib
import os
import threading
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import ClassVar, TypeVar

import numpy as np

from animegan_tf.errors import AnimeganError, MissingExtraError, StyleError, UnknownNameError, UsageError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.manifest import Manifest, verify_file
from animegan_tf.native import load_tensorflow, silent_stderr

Item = TypeVar("Item")


def load_backend(
    name: str, folder: Path, manifest: Manifest, precision: str | None = None, threads: int | None = None
) -> Backend:
    """Returns the backend `name`, with the model file of the style `folder` verified and loaded.

    Args:
      name: a key of `BACKENDS`.
      folder: the style folder that `manifest` was read from.
      manifest: says which file to load and what its SHA-256 is.
      precision: 'float32' or 'float16' (of the stored weights); None takes float32 where there is a choice.
      threads: CPU threads; None takes all. TensorFlow's are set for the whole process, so 'saved_model' ignores it.

    Raises:
      UnknownNameError: no such backend.
      UsageError: the style has no file for this backend and precision.
      MissingExtraError: the backend's package is not installed.
      StyleError: the file is missing, changed or cannot be loaded.
    """
    if name not in BACKENDS:
        raise UnknownNameError("backend", name, BACKENDS)
    file = manifest.find(name, precision)
    if file is None:
        wanted = f"{name} file of precision {precision}" if precision else f"{name} file"
        has = ", ".join(f"{f.format} {f.precision}" for f in manifest.files) or "none"
        raise UsageError(f"Style {manifest.name!r} has no {wanted}: its files are {has}.")
    return BACKENDS[name](verify_file(folder, file), threads)


class Backend(abc.ABC):
    """One loaded model file. Safe to call from several threads.

    Every backend offers both pixel types; `takes_uint8` states which one its model computes on, the other one is
    converted here.
    """

    format: ClassVar[str]
    takes_uint8: ClassVar[bool] = False

    def __init__(self, path: Path, threads: int | None = None):
        try:
            self._load(path, threads)
        except AnimeganError:
            raise
        except Exception as error:  # each runtime has its own exceptions, most of them below Exception directly
            raise StyleError(f"{path} cannot be loaded by {self.format}: {_first_line(error)}.") from error

    def run(self, image: np.ndarray) -> np.ndarray:
        """Returns the stylized picture, [1, H, W, 3] float32 in [-1, 1].

        Args:
          image: [1, H, W, 3] float32 RGB in [-1, 1]; H and W multiples of the manifest's `size_multiple`.

        Raises:
          StyleError: the runtime failed (most often: not enough memory), or the result is not a picture.
        """
        return to_float(self._checked(to_uint8(image))) if self.takes_uint8 else self._checked(image)

    def run_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the stylized picture, [1, H, W, 3] uint8 RGB; `pixels` likewise. Otherwise as `run`."""
        return self._checked(pixels) if self.takes_uint8 else to_uint8(self._checked(to_float(pixels)))

    @abc.abstractmethod
    def _load(self, path: Path, threads: int | None) -> None:
        """Loads the file; any exception is turned into a StyleError by the caller."""

    @abc.abstractmethod
    def _compute(self, image: np.ndarray) -> np.ndarray:
        """Returns the model's output for `image`, uint8 or float32 as `takes_uint8` states."""

    def _checked(self, image: np.ndarray) -> np.ndarray:
        size = f"{image.shape[2]}x{image.shape[1]}"
        try:
            result = self._compute(image)
        except Exception as error:
            raise StyleError(f"{self.format} failed on a picture of {size}: {_first_line(error)}.") from error
        if result.shape != image.shape:
            raise StyleError(f"{self.format} made {list(result.shape)} of a picture of {size}; sizes must be equal.")
        # A file that was converted wrongly gives NaN without any error; as uint8 it would be a black picture.
        if result.dtype != np.uint8 and not np.isfinite(result).all():
            raise StyleError(f"{self.format} computed values that are no numbers for a picture of {size}.")
        return result


class TFLiteBackend(Backend):
    """TFLite files with dynamic H and W, through ai-edge-litert: small, and 0.03 s to import."""

    format = "tflite"

    def _load(self, path: Path, threads: int | None) -> None:
        litert = _import("ai_edge_litert.interpreter", "ai-edge-litert", None, "The tflite backend")
        self._lock = threading.Lock()
        self._shape: tuple[int, ...] | None = None
        self._interpreter = litert.Interpreter(os.fspath(path), num_threads=threads or os.cpu_count())
        self._input = _only(self._interpreter.get_input_details(), "input")["index"]
        self._output = _only(self._interpreter.get_output_details(), "output")["index"]

    def _compute(self, image: np.ndarray) -> np.ndarray:
        with self._lock:
            if image.shape != self._shape:
                self._resize(image.shape)
            self._interpreter.set_tensor(self._input, image)
            self._interpreter.invoke()
            return self._interpreter.get_tensor(self._output)

    def _resize(self, shape: tuple[int, ...]) -> None:
        self._shape = None  # after a failed resize the interpreter must not be run at its old size
        self._interpreter.resize_tensor_input(self._input, shape)
        with silent_stderr():
            self._interpreter.allocate_tensors()
        self._shape = shape


class OnnxBackend(Backend):
    """ONNX files through onnxruntime on the CPU: the fastest for float32."""

    format = "onnx"

    def _load(self, path: Path, threads: int | None) -> None:
        onnxruntime = _import("onnxruntime", "onnxruntime", "onnx", "The onnx backend")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        self._input = _only(self._session.get_inputs(), "input").name
        _only(self._session.get_outputs(), "output")

    def _compute(self, image: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input: image})[0]


class SavedModelBackend(Backend):
    """SavedModel folders through TensorFlow: uint8 in and out, a GPU where TensorFlow has one, 2 s to import."""

    format = "saved_model"
    takes_uint8 = True

    def _load(self, path: Path, threads: int | None) -> None:
        tensorflow = load_tensorflow("The saved_model backend")
        self._to_tensor = tensorflow.constant
        # The model is kept because its signature holds the variables only weakly.
        self._model = tensorflow.saved_model.load(os.fspath(path))
        self._signature = self._model.signatures["serving_default"]
        self._input = _only(self._signature.structured_input_signature[1], "input")
        self._output = _only(self._signature.structured_outputs, "output")

    def _compute(self, image: np.ndarray) -> np.ndarray:
        return self._signature(**{self._input: self._to_tensor(image)})[self._output].numpy()


BACKENDS: dict[str, type[Backend]] = {b.format: b for b in (TFLiteBackend, OnnxBackend, SavedModelBackend)}


def _import(module: str, package: str, extra: str | None, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there, something it needs is not
        raise MissingExtraError(package, extra, purpose) from None


def _only(items: Collection[Item], kind: str) -> Item:
    if len(items) != 1:
        raise ValueError(f"the model has {len(items)} {kind}s instead of one")
    return next(iter(items))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
