"""Which backend runs a style fastest on this machine: measured once, and remembered in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import secrets
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from animegan_tf.errors import MissingExtraError, StyleError, UsageError
from animegan_tf.manifest import PRECISIONS, Manifest, ModelFile
from animegan_tf.runtime.backends import BACKENDS, Backend, find_file, load_backend

PROBE_SIDE = 512
_ROUNDS = 5
_SECONDS = 3.0
_REMEMBERED = 100
_RUNTIMES = ("ai-edge-litert", "onnxruntime", "tensorflow", "tensorflow-cpu")
_BUSY = 1.5
# TensorFlow takes two seconds to start, each time: a few per cent are not worth them.
_HANDICAP = {"saved_model": 1.5}
_LOGGER = logging.getLogger(__name__)


def fastest_backend(folder: Path, manifest: Manifest, precision: str | None = None, threads: int | None = None) -> str:
    """Returns the name of the backend that runs the style fastest here.

    All that are installed and have a file of the style are timed on one picture, in turn, the first time; later calls
    take the answer from `cache_file`, as long as style, processor, threads and runtimes are the same. What was measured
    on a busy machine, where the times of one backend lie far apart, is used but not remembered; nor is it while one of
    them is broken, which is left out with a warning.

    Args:
      folder: the style folder that `manifest` was read from.
      precision: of the files compared; None compares those of the highest precision there is.
      threads: as in `load_backend`.

    Raises:
      UsageError: no installed backend has such a file. StyleError: as `load_backend`, where none of them works.
    """
    files = _candidates(manifest, precision, threads)
    key = _key(files, threads)
    remembered = _read_cache()
    entry = remembered.get(key)
    if isinstance(entry, dict) and entry.get("backend") in files:
        return entry["backend"]
    _LOGGER.info("Measuring once which backend runs %s fastest here ...", manifest.name)
    backends, broken = _load_all(list(files), folder, manifest, precision, threads)
    for name, error in broken.items():
        _LOGGER.warning("The %s backend is left out: %s", name, error)
    measured = _time(backends, manifest)
    # The shortest time is the one that other work on the machine disturbed least.
    times = {name: min(values) for name, values in measured.items()}
    fastest = min(times, key=lambda name: times[name] * _HANDICAP.get(name, 1.0))
    found = ", ".join(f"{name} {times[name]:.0f} ms" for name in sorted(times, key=lambda name: times[name]))
    _LOGGER.info("%s takes %s for %dx%d: %s it is.", manifest.name, found, PROBE_SIDE, PROBE_SIDE, fastest)
    if any(statistics.median(values) > _BUSY * min(values) for values in measured.values()):
        _LOGGER.info("The machine is busy with other work: this is not remembered.")
        return fastest
    if broken:  # once it is mended, it may be the fastest
        return fastest
    rounded = {name: round(value, 2) for name, value in times.items()}
    remembered[key] = {"style": manifest.name, "backend": fastest, "milliseconds": rounded}
    _write_cache(remembered)
    return fastest


def cache_file() -> Path:
    """Returns the file that remembers the answers; it may be deleted at any time.

    Raises:
      RuntimeError: nothing says where this user's home is.
    """
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library/Caches"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "animegan-tf" / "backends.json"


def _candidates(manifest: Manifest, precision: str | None, threads: int | None) -> dict[str, ModelFile]:
    """Returns backend -> the file it would load, all of one precision, so that each gives the same picture.

    Backends that cannot be held to `threads` are among them only where there is no other.
    """
    found = {name: file for name in BACKENDS if (file := find_file(name, manifest, precision))}
    if threads:
        found = {name: file for name, file in found.items() if BACKENDS[name].follows_threads} or found
    there = {file.precision for file in found.values()}
    best = next((name for name in PRECISIONS if name in there), None)
    return {name: file for name, file in found.items() if file.precision == best}


def _load_all(
    names: list[str], folder: Path, manifest: Manifest, precision: str | None, threads: int | None
) -> tuple[dict[str, Backend], dict[str, StyleError]]:
    """Returns the backends that stylize a picture, which also warms them up, and what is wrong with broken ones."""
    picture, further = _probe(manifest)
    loaded: dict[str, Backend] = {}
    broken: dict[str, StyleError] = {}
    for name in names:
        try:
            backend = load_backend(name, folder, manifest, precision, threads)
            backend.run_pixels(picture, **further)
            loaded[name] = backend
        except MissingExtraError:
            continue
        except StyleError as error:
            broken[name] = error
    if broken and not loaded:
        raise next(iter(broken.values()))
    if not loaded:
        wanted = f" of precision {precision}" if precision else ""
        raise UsageError(f"Style {manifest.name!r} has no file{wanted} that a backend installed here can run.")
    return loaded, broken


def _probe(manifest: Manifest) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns the picture that is stylized to measure, and the further inputs of the style, zeros."""
    side = -(-PROBE_SIDE // manifest.size_multiple) * manifest.size_multiple
    picture = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    return picture, {name: np.zeros((1, *shape), np.float32) for name, shape in manifest.inputs.items()}


def _time(backends: dict[str, Backend], manifest: Manifest) -> dict[str, list[float]]:
    """Returns backend -> milliseconds of a picture, several times; in turn, so that other work here hits all alike."""
    picture, further = _probe(manifest)
    times: dict[str, list[float]] = {name: [] for name in backends}
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        for name, backend in backends.items():
            start = time.perf_counter()
            backend.run_pixels(picture, **further)
            times[name].append(1000 * (time.perf_counter() - start))
        if time.perf_counter() - started > _SECONDS:
            break
    return times


def _key(files: dict[str, ModelFile], threads: int | None) -> str:
    versions = {}
    for package in _RUNTIMES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    digests = {name: file.sha256 for name, file in files.items()}
    said = json.dumps([digests, threads or os.cpu_count(), _processor(), versions], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(("model name", "Model", "CPU part")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read_cache() -> dict:
    # Whatever is wrong with the file, the remedy is to measure again.
    try:
        remembered = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return {}
    return remembered if isinstance(remembered, dict) else {}


def _write_cache(remembered: dict) -> None:
    kept = dict(list(remembered.items())[-_REMEMBERED:])
    # A folder that is unknown or cannot be written to costs the next start a measurement.
    with contextlib.suppress(OSError, RuntimeError):
        path = cache_file()
        temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept, indent=2), encoding="utf-8")
        os.replace(temporary, path)
