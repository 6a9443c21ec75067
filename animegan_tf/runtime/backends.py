"""Runs one model file of a style: TFLite (the default), ONNX or SavedModel, behind the same methods.

A style's generator makes the picture; a style that follows a style picture also has an encoder, which makes its code.

A backend is chosen by name from `BACKENDS`; a new one is one class here. The packages behind them are imported
when a model is loaded, so that each user needs only the one in use.
"""

from __future__ import annotations

import abc
import importlib
import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import ClassVar, TypeVar

import numpy as np

from animegan_tf.errors import AnimeganError, MissingExtraError, StyleError, UnknownNameError, UsageError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.manifest import Manifest, ModelFile, verify_file
from animegan_tf.native import load_tensorflow, silent_stderr

Item = TypeVar("Item")
_LOGGER = logging.getLogger(__name__)


def load_backend(
    name: str,
    folder: Path,
    manifest: Manifest,
    precision: str | None = None,
    threads: int | None = None,
    role: str = "generator",
) -> Backend:
    """Returns the backend `name`, with the model file of the style `folder` verified and loaded.

    Args:
      name: a key of `BACKENDS`.
      folder: the style folder that `manifest` was read from.
      manifest: says which file to load and what its SHA-256 is.
      precision: 'float32', 'float16' (of stored weights), 'dynamic_int8' (of weights and products) or 'int8' (TFLite:
        the fastest, a little less exact); None takes float32 where there is a choice.
      threads: CPU threads; None takes all. TensorFlow's are set for the whole process, so 'saved_model' ignores it.
      role: 'generator', for `run` and `run_pixels`, or 'style_encoder', for `encode`.

    Raises:
      UnknownNameError: no such backend.
      UsageError: the style has no file for this backend, precision and role.
      MissingExtraError: the backend's package is not installed.
      StyleError: the file is missing, changed, cannot be loaded, or its inputs are not what the manifest says.
    """
    if name not in BACKENDS:
        raise UnknownNameError("backend", name, BACKENDS)
    file = find_file(name, manifest, precision, role)
    if file is None:
        kind = "file" if role == "generator" else f"{role.replace('_', ' ')} file"
        wanted = f"{name} {kind} of precision {precision}" if precision else f"{name} {kind}"
        has = ", ".join(f"{f.format} {f.precision}" for f in manifest.files if f.role == role) or "none"
        raise UsageError(f"Style {manifest.name!r} has no {wanted}: its files are {has}.")
    further = manifest.inputs if role == "generator" else {}
    return BACKENDS[name](verify_file(folder, file), threads, further=further, role=role)


def find_file(name: str, manifest: Manifest, precision: str | None = None, role: str = "generator") -> ModelFile | None:
    """Returns the model file that backend `name` loads for `role`, float32 first; None where there is none."""
    # A SavedModel has both roles, as two signatures; only a style that takes a code has the second.
    if BACKENDS[name].holds_encoder and role == "style_encoder" and "code" in manifest.inputs:
        role = "generator"
    return manifest.find(name, precision, role)


class Backend(abc.ABC):
    """One loaded model file. Safe to call from several threads.

    Every backend offers both pixel types; `takes_uint8` states which one its model takes, the other one is converted
    here. `takes_any_size`: the model pads pictures by itself, whoever serves it. `follows_threads`: `threads` works.
    """

    format: ClassVar[str]
    takes_uint8: bool = False
    takes_any_size: ClassVar[bool] = False
    holds_encoder: ClassVar[bool] = False
    follows_threads: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        *,
        further: Mapping[str, Sequence[int]] | None = None,
        role: str = "generator",
    ):
        """Loads `path`; `further`: the inputs besides the image, name -> shape without the batch."""
        self._further = {name: tuple(shape) for name, shape in (further or {}).items()}
        try:
            self._load(path, threads, role)
        except AnimeganError:
            raise
        except Exception as error:  # each runtime has its own exceptions, most of them below Exception directly
            raise StyleError(f"{path} cannot be loaded by {self.format}: {_first_line(error)}.") from error

    def run(self, image: np.ndarray, **further: np.ndarray) -> np.ndarray:
        """Returns the stylized picture, [1, H, W, 3] float32 in [-1, 1].

        Args:
          image: [1, H, W, 3] float32 RGB in [-1, 1]; H and W multiples of the manifest's `size_multiple`.
          further: the manifest's `inputs` by name, each float32 [1, n].

        Raises:
          StyleError: the runtime failed (most often: not enough memory), the result is not a picture, or `further`
            is not what the model takes.
        """
        if self.takes_uint8:
            return to_float(self._stylized(to_uint8(image), further))
        return self._stylized(image, further)

    def run_pixels(self, pixels: np.ndarray, **further: np.ndarray) -> np.ndarray:
        """Returns the stylized picture, [1, H, W, 3] uint8 RGB; `pixels` likewise. Otherwise as `run`."""
        if self.takes_uint8:
            return self._stylized(pixels, further)
        return to_uint8(self._stylized(to_float(pixels), further))

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the code of a style picture, [1, n] float32; the model must be a style encoder.

        Args:
          pixels: [1, H, W, 3] uint8 RGB; H and W at least 32.

        Raises:
          StyleError: the runtime failed, or the result is not a code.
        """
        code = self._computed(pixels if self.takes_uint8 else to_float(pixels), {})
        if code.ndim != 2 or len(code) != 1 or code.dtype != np.float32:
            raise StyleError(
                f"{self.format} made {code.dtype} {list(code.shape)} of a style picture, which is no code."
            )
        return code

    @abc.abstractmethod
    def _load(self, path: Path, threads: int | None, role: str) -> None:
        """Loads the file; any exception is turned into a StyleError by the caller."""

    @abc.abstractmethod
    def _compute(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the model's output; `image` is uint8 or float32 as `takes_uint8` states."""

    def _image_input(self, shapes: Mapping[str, Sequence[int | str | None]]) -> str:
        """Returns the name of the image among a model's inputs (name -> shape); the others must be `further`."""
        others = {name: tuple(shape[1:]) for name, shape in shapes.items() if name in self._further}
        images = [name for name in shapes if name not in self._further]
        if len(images) != 1 or others != self._further:
            found = {name: shape[1:] if len(shape) == 2 else () for name, shape in sorted(shapes.items())}
            raise ValueError(f"its inputs are {_listed(found)} instead of {_listed({'image': (), **self._further})}")
        return images[0]

    def _stylized(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        # Looked at here because TFLite would go on with the values of the call before.
        if further.keys() != self._further.keys():
            raise StyleError(f"The model takes {_listed(self._further)}, not {', '.join(further) or 'an image alone'}.")
        result = self._computed(image, further)
        if result.shape != image.shape:
            size = f"{image.shape[2]}x{image.shape[1]}"
            raise StyleError(f"{self.format} made {list(result.shape)} of a picture of {size}; sizes must be equal.")
        return result

    def _computed(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        try:
            result = self._compute(image, further)
        except AnimeganError:
            raise
        except Exception as error:
            size = f"{image.shape[2]}x{image.shape[1]}"
            raise StyleError(f"{self.format} failed on a picture of {size}: {_first_line(error)}.") from error
        # A file that was converted wrongly gives NaN without any error; as uint8 it would be a black picture.
        if result.dtype != np.uint8 and not np.isfinite(result).all():
            size = f"{image.shape[2]}x{image.shape[1]}"
            raise StyleError(f"{self.format} computed values that are no numbers for a picture of {size}.")
        return result


class TFLiteBackend(Backend):
    """TFLite files with dynamic H and W, through ai-edge-litert: small, and 0.03 s to import. int8 ones take uint8."""

    format = "tflite"

    def _load(self, path: Path, threads: int | None, role: str) -> None:
        litert = _import("ai_edge_litert.interpreter", "ai-edge-litert", None, "The tflite backend")
        self._lock = threading.Lock()
        self._shape: tuple[int, ...] | None = None
        self._interpreter = litert.Interpreter(os.fspath(path), num_threads=threads or os.cpu_count())
        # Converted as a signature, 'image' is called 'serving_default_image:0'.
        inputs = {
            detail["name"].removeprefix("serving_default_").removesuffix(":0"): detail
            for detail in self._interpreter.get_input_details()
        }
        image = self._image_input({name: detail["shape_signature"].tolist() for name, detail in inputs.items()})
        self._input, self.takes_uint8 = inputs[image]["index"], inputs[image]["dtype"] is np.uint8
        self._index = {name: inputs[name]["index"] for name in self._further}
        output = _only(self._interpreter.get_output_details(), "output")
        if (output["dtype"] is np.uint8) != self.takes_uint8:
            raise ValueError("one of its image and its result is uint8, the other is not")
        self._output = output["index"]

    def _compute(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        with self._lock:
            if image.shape != self._shape:
                self._resize(image.shape)
            self._interpreter.set_tensor(self._input, image)
            for name, values in further.items():
                self._interpreter.set_tensor(self._index[name], values)
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

    def _load(self, path: Path, threads: int | None, role: str) -> None:
        onnxruntime = _import("onnxruntime", "onnxruntime", "onnx", "The onnx backend")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        self._input = self._image_input({item.name: item.shape for item in self._session.get_inputs()})
        _only(self._session.get_outputs(), "output")

    def _compute(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        return self._session.run(None, {self._input: image, **further})[0]


class SavedModelBackend(Backend):
    """SavedModel folders through TensorFlow: uint8 in and out, a GPU where TensorFlow has one, 2 s to import.

    The generator is the signature `serving_default`, the style encoder `encode_style`.
    """

    format = "saved_model"
    takes_uint8 = True
    takes_any_size = True
    holds_encoder = True
    follows_threads = False

    def _load(self, path: Path, threads: int | None, role: str) -> None:
        if threads:
            _LOGGER.info("TensorFlow takes all cores: the number of threads is not followed by --backend saved_model.")
        tensorflow = load_tensorflow("The saved_model backend")
        self._to_tensor = tensorflow.constant
        # The model is kept because its signature holds the variables only weakly.
        self._model = tensorflow.saved_model.load(os.fspath(path))
        name = "serving_default" if role == "generator" else "encode_style"
        if name not in self._model.signatures:
            raise ValueError(f"it has no signature {name}")
        self._signature = self._model.signatures[name]
        inputs = self._signature.structured_input_signature[1]
        self._input = self._image_input({name: spec.shape.as_list() for name, spec in inputs.items()})
        self._output = _only(self._signature.structured_outputs, "output")

    def _compute(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: self._to_tensor(values) for name, values in further.items()}
        return self._signature(**{self._input: self._to_tensor(image)}, **tensors)[self._output].numpy()


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


def _listed(shapes: Mapping[str, Sequence]) -> str:
    return ", ".join(f"{name} {list(shape)}" if shape else name for name, shape in shapes.items()) or "an image alone"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
