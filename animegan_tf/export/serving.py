"""A folder for TF Serving, made of style folders.

models/NAME/VERSION/       the SavedModel of a style, as its manifest has it, with requests to warm it up
models.config              every model there is, for --model_config_file
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from animegan_tf import images
from animegan_tf.errors import ConfigError, ExportError, MissingExtraError
from animegan_tf.manifest import Manifest, read_manifest, verify_file
from animegan_tf.native import load_tensorflow

WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
_WARM_UP_SIDE = 256
# A letter or digit first: '..' would lead out of the folder.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def add_model(style: Path, models: Path, name: str = "", version: int = 0) -> Path:
    """Copies the SavedModel of a style folder to models/name/version, adds warm-up requests, and returns that folder.

    It appears when all is done, so that a server that watches `models` loads it whole. A version that exists is never
    replaced: a server does not see that, and its users could not tell what they were served by.

    Args:
      style: the style folder; its SavedModel must be as the manifest says.
      models: folder of all models.
      name: of the model; '' takes that of the style.
      version: 0 takes the one after the newest.

    Raises:
      ConfigError: the style has no SavedModel, the name cannot stand in an address, or the version exists.
      StyleError: the SavedModel was changed. MissingExtraError: tensorflow-serving-api is not installed.
      ExportError: the model does not answer its own warm-up requests, or the folder cannot be written.
    """
    manifest, source, target = _checked(style, models, name, version)
    name, version = target.parent.name, int(target.name)
    # A server takes no notice of folders that are not called by a number.
    temporary = target.with_name(f".{version}-{secrets.token_hex(4)}")
    try:
        shutil.copytree(source, temporary)
        _write_warm_up(temporary, name, manifest)
        _check_warm_up(temporary, style)
        temporary.rename(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            target.parent.rmdir()  # empty only where the first version of a model failed
    return target


def check_model(style: Path, models: Path, name: str = "", version: int = 0) -> Path:
    """Returns the folder that `add_model` would make now; nothing is written. Raises ConfigError, StyleError."""
    return _checked(style, models, name, version)[2]


def models_config(models: Path, base_path: str) -> str:
    """Returns the text of models.config: every folder of `models` that holds a version.

    Args:
      models: as of `add_model`.
      base_path: where the server sees `models`; an absolute path.
    """
    lines = ["# Every model below models/, written by tools/make_serving.py. The newest version of each is served.", ""]
    lines += ["model_config_list {"]
    for folder in sorted(path for path in models.iterdir() if _versions(path)):
        path = f"{base_path.rstrip('/')}/{folder.name}"
        lines += ["  config {", f'    name: "{folder.name}"', f'    base_path: "{path}"']
        lines += ['    model_platform: "tensorflow"', "  }"]
    return "\n".join([*lines, "}"]) + "\n"


def _checked(style: Path, models: Path, name: str, version: int) -> tuple[Manifest, Path, Path]:
    """Returns the manifest, the SavedModel, verified, and models/name/version."""
    manifest = read_manifest(style)
    name = name or manifest.name
    file = manifest.find("saved_model")
    if file is None:
        raise ConfigError(f"Style {manifest.name!r} has no SavedModel: export it with --formats=saved_model.")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a model: letters and digits can, and after the first '_', '-' and '.'."
        )
    source = verify_file(style, file)
    target = models / name / str(version or max(_versions(models / name), default=0) + 1)
    if target.exists():
        raise ConfigError(f"{target} exists, and a version is never replaced: leave out --version to add a new one.")
    return manifest, source, target


def _versions(folder: Path) -> list[int]:
    return [int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]


def _write_warm_up(folder: Path, name: str, manifest: Manifest) -> None:
    """Writes one request per signature: a server answers its first request as fast as the others then."""
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise MissingExtraError("tensorflow-serving-api", "serving", "A folder for TF Serving")
    tensorflow = load_tensorflow("A folder for TF Serving")
    (folder / WARM_UP_FILE).parent.mkdir(exist_ok=True)
    with tensorflow.io.TFRecordWriter(str(folder / WARM_UP_FILE)) as writer:
        for signature, inputs in _warm_up_inputs(manifest).items():
            log = _prediction_log()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = name, signature
            for key, values in inputs.items():
                request.inputs[key].CopyFrom(tensorflow.make_tensor_proto(values))
            writer.write(log.SerializeToString())


def _warm_up_inputs(manifest: Manifest) -> dict[str, dict[str, np.ndarray]]:
    """Returns signature -> inputs by name, the same every time."""
    from animegan_tf.export.parity import check_inputs, check_picture

    pixels = check_picture(_WARM_UP_SIDE, _WARM_UP_SIDE)
    data = np.array([images.portable_bytes(images.Picture(pixels[0]))], object)
    further = check_inputs(manifest.inputs)[0]
    found = {"serving_default": {"image": pixels, **further}, "serve_bytes": {"image_bytes": data, **further}}
    if "code" in manifest.inputs:
        found["encode_style"] = {"image": pixels}
    return found


def _check_warm_up(folder: Path, style: Path) -> None:
    """Runs the requests as they stand in the file: a server that fails on one does not load the model."""
    tensorflow = load_tensorflow("A folder for TF Serving")
    answers: dict[str, Any] = {}
    try:
        loaded = tensorflow.saved_model.load(str(folder))
        for request in read_warm_up(folder):
            inputs = {key: tensorflow.constant(tensorflow.make_ndarray(t)) for key, t in request.inputs.items()}
            signature = request.model_spec.signature_name
            answers[signature] = loaded.signatures[signature](**inputs)
        data = answers["serve_bytes"]["stylized_bytes"].numpy()[0]
        pixels = next(iter(answers["serving_default"].values())).numpy()
    except Exception as error:  # TensorFlow has many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise ExportError(
            f"The SavedModel of {style} does not answer as one to serve ({reason}): export it again."
        ) from error
    if not np.array_equal(images.read_picture(data).pixels, pixels[0]):
        raise ExportError(f"The SavedModel of {style} answers files and pixels differently: export it again.")


def read_warm_up(folder: Path) -> Iterator[Any]:
    """Yields the warm-up requests of a SavedModel folder, each a PredictRequest."""
    tensorflow = load_tensorflow("A folder for TF Serving")
    for record in tensorflow.data.TFRecordDataset(str(folder / WARM_UP_FILE)).as_numpy_iterator():
        log = _prediction_log()
        log.ParseFromString(record)
        yield log.predict_log.request


def _prediction_log() -> Any:
    return importlib.import_module("tensorflow_serving.apis.prediction_log_pb2").PredictionLog()
