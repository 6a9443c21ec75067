"""The machine: what it is, whether it is idle, and how fast it multiplies matrices."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from animegan_tf import __version__
from animegan_tf.benchmark.timing import Job, Times, ready, summary
from animegan_tf.native import load_tensorflow

_PACKAGES = (
    *("tensorflow", "keras", "ai-edge-litert", "onnxruntime", "numpy", "pillow"),
    *("opencv-python", "opencv-python-headless"),
)
_IDLE = 0.5
_SIDES = (1024, 2048)


def describe_machine() -> dict:
    """Returns processor, cores, memory in GB, system, Python and versions of the packages, as it stands in JSON."""
    packages = {"animegan-tf": __version__}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[package] = importlib.metadata.version(package)
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": packages,
    }


def load_average() -> float | None:
    """Returns the processes that wanted to run in the last minute, on average; None where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def busy_note(load: float | None, cores: int) -> str | None:
    """Returns a sentence where the machine was not idle, or None."""
    if load is None or load <= _IDLE:
        return None
    return f"The machine is not idle (load average {load:.1f} on {cores} cores): only the ratios mean something."


def matmul_jobs(sides: tuple[int, ...] = _SIDES) -> dict[str, Job]:
    """Returns 'NumPy 1024' ... -> the product of two float32 matrices of that side, in NumPy and in TensorFlow."""
    tensorflow = load_tensorflow("The benchmark")
    jobs = {}
    for side in sides:
        left, right = np.random.default_rng(0).standard_normal((2, side, side), np.float32)
        jobs[f"NumPy {side}"] = ready(functools.partial(np.matmul, left, right, out=np.empty_like(left)))
        tensors = tensorflow.constant(left), tensorflow.constant(right)
        jobs[f"TensorFlow {side}"] = ready(functools.partial(tensorflow.linalg.matmul, *tensors))
    return jobs


def best_rate(times: Mapping[str, Times]) -> dict:
    """Returns the fastest of `matmul_jobs`: name, gmacs_per_s (10^9 multiply-accumulates a second), and all rates.

    Args:
      times: job -> {round: milliseconds}, from `interleave`.
    """
    rates = {
        name: int(name.split()[-1]) ** 3 / 1e6 / summary(milliseconds.values())["median"]
        for name, milliseconds in times.items()
    }
    best = max(rates, key=lambda name: rates[name])
    return {"name": best, "gmacs_per_s": round(rates[best], 3), "all": {n: round(r, 3) for n, r in rates.items()}}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
