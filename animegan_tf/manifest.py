"""The contract at the wall: what a style folder's manifest.json says.

Export writes it, the runtime reads and verifies it; nothing else is shared between the two. A style folder is

    manifest.json   model_float32.tflite  model_float16.tflite  model_int8.tflite  model.onnx  saved_model/
    preview.jpg     style_encoder_float32.tflite  style_encoder.onnx                      (where a style has `code`)

with any non-empty subset of the model files, in further precisions (model_dynamic_int8.tflite, model_float16.onnx) and
for one size alone (model_float32_720x1280.tflite). By role:

generator       takes `image`: float32 [N, H, W, 3] RGB in [-1, 1], H and W multiples of `size_multiple`, N = 1 in
                TFLite; and, where `inputs` says so, float32 [N, n] by name: `label` (weights of the `classes`, in
                their order, one-hot or a blend that sums to 1), `code` (of a style picture, or a blend of codes),
                `noise` (a normal draw, or zeros). Returns `stylized`: as `image`.
style_encoder   takes `image`: a style picture, float32 [N, H, W, 3] RGB in [-1, 1], H and W at least 32.
                Returns its `code`: float32 [N, n].

A TFLite file of precision int8 takes uint8 pixels [1, H, W, 3] RGB instead, sides as above, and returns such.

A SavedModel takes uint8 RGB pictures of any size instead, and returns such: signature `serving_default` is the
generator, `serve_bytes` the same for encoded pictures, `encode_style` the encoder. It is listed as a generator.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from animegan_tf.errors import StyleError

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = 1
PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")
"""Best first: the order in which a file is chosen where none is asked for."""

INPUTS = ("label", "code", "noise")
ROLES = ("generator", "style_encoder")
_TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "dict": dict}
_TYPES |= {"float | None": (int, float, type(None)), "int | None": (int, type(None))}


@dataclass(frozen=True)
class ModelFile:
    """One file (or SavedModel folder) of a style.

    path: relative to the style folder, with forward slashes. format: tflite | onnx | saved_model.
    precision: float32 | float16 (of the stored weights; in ONNX of the arithmetic, too) | dynamic_int8 (weights in
    int8, maps rounded to int8 with the range they have, TFLite alone) | int8 (of the arithmetic; in TFLite pixels in
    and out). sha256: of the file; of a folder, over its sorted files. max_error: largest difference to the Keras
    network seen at export, in [-1, 1] units; of an encoder: as a share of the code's largest number, or of 1 where that
    is smaller. role: generator | style_encoder. mean_error: of both kinds of int8, the mean difference, of int8 on
    photos that it was not calibrated on. size: H and W of a file for this size alone; None: any size.
    """

    path: str
    format: str
    precision: str
    sha256: str
    bytes: int
    max_error: float
    role: str = "generator"
    mean_error: float | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Manifest:
    """Everything a style folder says about itself. See the module's docstring for the files.

    name: how users call the style. system: the generator's name. recipe: name of the training recipe.
    size_multiple: H and W must be multiples of it. margin: pixels to add on each side by reflection, and to cut off
    after, so that zero padding draws no frame around the picture. receptive_radius: what lies more rows or columns away
    changes nothing in a pixel of the result; None where all may, as with norms over the whole picture, or where it was
    not said. pixel_range: float values taken and returned.
    parameters: numbers in the files, statistics of norms included. licence: SPDX identifier of the weights. credits:
    whose pictures trained it. inputs: what the generator takes besides `image`, name -> shape without the batch.
    classes: names of the styles of a generator that takes `label`, in its order. author: who made it.
    """

    name: str
    system: str
    recipe: str
    size_multiple: int
    parameters: int
    licence: str
    credits: str
    files: tuple[ModelFile, ...]
    description: str = ""
    author: str = ""
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    margin: int = 0
    receptive_radius: int | None = None
    pixel_range: tuple[float, float] = (-1.0, 1.0)
    layout: str = "NHWC"
    color_order: str = "RGB"
    training_steps: int = 0
    created_with: str = ""
    format_version: int = FORMAT_VERSION
    extra: dict = field(default_factory=dict)

    def find(self, format: str, precision: str | None = None, role: str = "generator") -> ModelFile | None:
        """Returns the file of this format and role for any size, float32 first, or of this precision; None without."""
        any_size = [f for f in self.files if (f.format, f.role, f.size) == (format, role, None)]
        matching = [f for f in any_size if precision in (None, f.precision)]
        known = {name: place for place, name in enumerate(PRECISIONS)}
        return min(matching, key=lambda f: known.get(f.precision, len(known)), default=None)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest` to folder/manifest.json. Raises StyleError for what `read_manifest` would refuse."""
    _check(manifest, folder / MANIFEST_NAME)
    text = json.dumps(dataclasses.asdict(manifest), indent=2, ensure_ascii=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest of a style folder.

    Raises:
      StyleError: no manifest, not JSON, of a newer format, a field is missing, or a value cannot be run.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StyleError(f"{folder} is not a style folder: it has no {MANIFEST_NAME}.") from None
    except (OSError, ValueError) as error:
        raise StyleError(f"{path} cannot be read: {error}.") from None
    if not isinstance(data, dict) or data.get("format_version", FORMAT_VERSION) not in range(1, FORMAT_VERSION + 1):
        raise StyleError(f"{path} has an unknown format (this version knows {FORMAT_VERSION}): update animegan-tf.")
    known = {f.name for f in dataclasses.fields(Manifest)}
    try:
        names = {f.name for f in dataclasses.fields(ModelFile)}
        items = data.pop("files")
        files = tuple(ModelFile(**{k: _frozen(v) for k, v in item.items() if k in names}) for item in items)
        fields: dict[str, Any] = {k: _frozen(v) for k, v in data.items() if k in known}
        fields["inputs"] = {k: _frozen(v) for k, v in fields.get("inputs", {}).items()}
        manifest = Manifest(files=files, **fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise StyleError(f"{path} is incomplete: {error}.") from None
    _check(manifest, path)
    return manifest


def digest(path: Path) -> str:
    """Returns the SHA-256 of a file, or of a folder over the sorted relative names and contents of its files."""
    total = hashlib.sha256()
    if path.is_file():
        total.update(path.read_bytes())
    else:
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            name = file.relative_to(path).as_posix().encode()
            total.update(name + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def verify_file(folder: Path, file: ModelFile) -> Path:
    """Returns the path of `file` after checking that it lies inside `folder` and has the stated SHA-256.

    Raises:
      StyleError: it is missing, points outside the folder, or was changed.
    """
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StyleError(f"{folder / MANIFEST_NAME} names {file.path}, which lies outside the style folder.")
    if not path.exists():
        raise StyleError(f"{path} is missing though {MANIFEST_NAME} lists it.")
    try:
        changed = digest(path) != file.sha256
    except OSError as error:
        raise StyleError(f"{path} cannot be read: {error.strerror or error}.") from None
    if changed:
        raise StyleError(f"{path} is damaged or was changed: its SHA-256 is not the one in {MANIFEST_NAME}.")
    return path


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) else []


def _check(manifest: Manifest, path: Path) -> None:
    # A style folder may come from anywhere: what the runtime computes with, or builds file names from, is looked at.
    items: list[Manifest | ModelFile] = [manifest, *manifest.files]
    for item in items:
        for entry in dataclasses.fields(item):
            expected = _TYPES.get(str(entry.type))
            if expected and not isinstance(getattr(item, entry.name), expected):
                raise StyleError(f"{path} has a {entry.name} that is not of type {entry.type}.")
    if not manifest.name or manifest.name != Path(manifest.name).name:
        raise StyleError(f"{path} has the name {manifest.name!r}, which cannot be part of a file name.")
    if manifest.margin < 0:
        raise StyleError(f"{path} has the margin {manifest.margin}; it must be at least 0.")
    if manifest.receptive_radius is not None and manifest.receptive_radius < 0:
        raise StyleError(f"{path} has the receptive_radius {manifest.receptive_radius}; it must be at least 0.")
    if manifest.size_multiple < 1:
        raise StyleError(f"{path} has the size_multiple {manifest.size_multiple}; it must be at least 1.")
    if (manifest.layout, manifest.color_order, manifest.pixel_range) != ("NHWC", "RGB", (-1.0, 1.0)):
        raise StyleError(f"{path} describes a network that cannot be run here: it must be NHWC, RGB, [-1, 1].")
    for file in manifest.files:
        if file.role not in ROLES:
            raise StyleError(f"{path} has a file of the role {file.role!r}; known are {', '.join(ROLES)}.")
        if file.size is not None and [type(side) for side in _listed(file.size)] != [int, int]:
            raise StyleError(f"{path} has a file of the size {file.size!r}; it must be two numbers, or null.")
    _check_inputs(manifest, path)


def _check_inputs(manifest: Manifest, path: Path) -> None:
    for name, shape in manifest.inputs.items():
        if name not in INPUTS:
            raise StyleError(f"{path} has the input {name!r}; known are {', '.join(INPUTS)}.")
        if not _is_size(shape):
            raise StyleError(f"{path} has the shape {shape} for the input {name}; it must be one positive number.")
    names = manifest.classes
    if not isinstance(names, tuple) or not all(isinstance(name, str) and name for name in names):
        raise StyleError(f"{path} has classes that are not a list of names.")
    if len(set(names)) < len(names):
        raise StyleError(f"{path} has two classes of one name.")
    wanted = manifest.inputs.get("label", (0,))[0]
    if len(names) != wanted:
        raise StyleError(f"{path} has {len(names)} classes where its network has {wanted}.")


def _is_size(shape: Any) -> bool:
    return isinstance(shape, list | tuple) and len(shape) == 1 and type(shape[0]) is int and shape[0] > 0
