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
# As Linux names them -> as they are known; what decides how fast small numbers are multiplied.
_INSTRUCTIONS = {
    **{"avx2": "AVX2", "avx512f": "AVX-512", "avx_vnni": "AVX-VNNI", "avx512_vnni": "AVX512-VNNI"},
    **{"avx512_bf16": "AVX512-BF16", "amx_int8": "AMX-INT8", "amx_bf16": "AMX-BF16"},
    **{"asimd": "NEON", "asimdhp": "FP16", "asimddp": "DotProd", "i8mm": "I8MM", "bf16": "BF16"},
}
_IDLE = 0.5
_SIDES = (1024, 2048)


def describe_machine() -> dict:
    """Returns processor, its instructions, cores, memory in GB, system, Python, versions of packages: as in JSON."""
    packages = {"animegan-tf": __version__}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            packages[package] = importlib.metadata.version(package)
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "instructions": instructions(_cpuinfo("flags") or _cpuinfo("Features")),
        "cores": os.cpu_count() or 1,
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": packages,
    }


def instructions(flags: str) -> list[str]:
    """Returns the vector instructions in /proc/cpuinfo's `flags`: without VNNI or DotProd int8 gains little."""
    found = set(flags.split())
    return [name for flag, name in _INSTRUCTIONS.items() if flag in found]


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


def _cpuinfo(name: str) -> str:
    """Returns the first value of `name` in Linux' /proc/cpuinfo; empty where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None
