"""Looks: what the further inputs of a style with several styles, or one that follows a style picture, are set to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from animegan_tf.errors import UnknownNameError, UsageError
from animegan_tf.manifest import Manifest
from animegan_tf.runtime.codes import StyleCode, blend_name, normalised

_WEIGHTED = re.compile(r"(.+):([-+]?(?:\d+\.?\d*|\.\d+))", re.DOTALL)
# What some system forbids in a file name; labels and the names of codes come from files that may be from anywhere.
_NOT_IN_FILE_NAMES = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


@dataclass(frozen=True, eq=False)
class Look:
    """One way a style can look.

    name: of the style and of the choice, for file names: 'hokusai', 'scenes-monet', 'painter-wave-7'.
    inputs: the further inputs of the model by name, float32 [1, n]; none for a plain style.
    """

    name: str
    inputs: Mapping[str, np.ndarray]


def build_look(
    manifest: Manifest,
    label: str | Mapping[str, float] | None = None,
    code: StyleCode | None = None,
    variation: int | None = None,
) -> Look:
    """Returns the look of the style `manifest` for these choices; see `Stylizer.look`."""
    _check_choices(manifest, label, code, variation)
    inputs: dict[str, np.ndarray] = {}
    parts = [manifest.name]
    for name, shape in manifest.inputs.items():
        if name == "label" and label is not None:
            part, inputs[name] = _label_input(manifest, label)
            parts.append(part)
        elif name == "code" and code is not None:
            code.check_fits(manifest)
            inputs[name] = code.values[None]
            parts.append(code.name)
        elif name == "noise":
            inputs[name] = _noise_input(tuple(shape), variation)
    if variation is not None:
        parts.append(str(variation))
    return Look(_NOT_IN_FILE_NAMES.sub("_", "-".join(part for part in parts if part)), inputs)


def parse_label(text: str) -> dict[str, float]:
    """Returns the weight of each label in 'monet' or 'monet:0.7,hokusai:0.3'; a label without a weight has 1.

    Raises:
      UsageError: an empty label, or one that stands there twice.
    """
    blend: dict[str, float] = {}
    for item in text.split(","):
        name, weight = split_weight(item.strip())
        if not name:
            raise UsageError(f"--label={text}: labels are written as monet, or monet:0.7,hokusai:0.3.")
        if name in blend:
            raise UsageError(f"--label={text}: {name} stands there twice.")
        blend[name] = weight
    return blend


def split_weight(text: str) -> tuple[str, float]:
    """Returns ('wave.jpg', 0.7) for 'wave.jpg:0.7', and weight 1 for all that does not end in a colon and a number.

    So 'C:\\wave.jpg' and 'at 12:30.jpg' are whole names.
    """
    match = _WEIGHTED.fullmatch(text)
    return (match[1], float(match[2])) if match else (text, 1.0)


def _check_choices(manifest: Manifest, label: object, code: object, variation: object) -> None:
    style, takes = manifest.name, manifest.inputs
    if "label" in takes and label is None:
        names = ", ".join(manifest.classes)
        raise UsageError(f"Style {style} holds several styles: choose one with label (--label): {names}.")
    if "code" in takes and code is None:
        raise UsageError(
            f"Style {style} follows a style picture: choose one with code (--style-image, or --style-code)."
        )
    if "label" not in takes and label is not None:
        raise UsageError(f"Style {style} holds one style: it takes no label (--label).")
    if "code" not in takes and code is not None:
        raise UsageError(f"Style {style} follows no style picture: it takes no code (--style-image, --style-code).")
    if "noise" not in takes and variation is not None:
        raise UsageError(f"Style {style} knows no variations (--variation).")


def _label_input(manifest: Manifest, label: str | Mapping[str, float]) -> tuple[str, np.ndarray]:
    """Returns (the label for file names, [1, classes] float32 weights that sum to 1)."""
    blend = {label: 1.0} if isinstance(label, str) else dict(label)
    for name in blend:
        if name not in manifest.classes:
            raise UnknownNameError("label", name, manifest.classes)
    weights = normalised(list(blend.values()), "a blend of labels")
    values = np.zeros((1, len(manifest.classes)), np.float32)
    for name, weight in zip(blend, weights, strict=True):
        values[0, manifest.classes.index(name)] = weight
    return blend_name(list(blend), weights), values


def _noise_input(shape: tuple[int, ...], variation: int | None) -> np.ndarray:
    """Returns [1, n] float32: zeros, or the normal draw of the seed `variation`."""
    if variation is None:
        return np.zeros((1, *shape), np.float32)
    if variation < 0:
        raise UsageError(f"variation must be 0 or more, not {variation}.")
    return np.random.default_rng(variation).standard_normal((1, *shape), np.float32)
