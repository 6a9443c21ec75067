"""Which precisions each format of a style folder is written in."""

from __future__ import annotations

from collections.abc import Sequence

from animegan_tf.errors import ConfigError
from animegan_tf.manifest import PRECISIONS

_KNOWN = {"tflite": PRECISIONS, "onnx": ("float32", "float16", "int8")}
# What is written where nothing is asked for; int8 of TFLite besides where there are photos to calibrate on.
_USUAL = {"tflite": ("float32", "float16"), "onnx": ("float32",)}


def precisions_of(format: str, wanted: Sequence[str] = (), calibrates: bool = False) -> list[str]:
    """Returns the precisions that the generator is written in as `format`, best first.

    Args:
      format: 'tflite' or 'onnx'; a SavedModel has none to choose from, which gives none.
      wanted: some of manifest.PRECISIONS; empty for the usual ones.
      calibrates: whether there are photos to calibrate an int8 file on.
    """
    if wanted:
        return [precision for precision in _KNOWN.get(format, ()) if precision in wanted]
    return [*_USUAL.get(format, ()), *(["int8"] if calibrates and format == "tflite" else [])]


def check_precisions(wanted: Sequence[str], formats: Sequence[str], calibrates: bool) -> None:
    """Raises ConfigError where no file of `formats` is written in one of `wanted`, or int8 and photos do not match."""
    for precision in wanted:
        if precision not in PRECISIONS:
            raise ConfigError(f"--precisions={','.join(wanted)}: precisions are {', '.join(PRECISIONS)}.")
        if not any(precision in _KNOWN.get(format, ()) for format in formats):
            raise ConfigError(f"--precisions={precision}: no file of --formats={','.join(formats)} is written in it.")
    if "int8" in wanted and not calibrates:
        raise ConfigError("--precisions=int8 needs photos to calibrate on: --calibration_dir.")
    if calibrates and not any("int8" in precisions_of(format, wanted, True) for format in formats):
        raise ConfigError("--calibration_dir is for int8 files: add tflite to --formats, or int8 to --precisions.")
