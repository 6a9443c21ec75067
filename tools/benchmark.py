"""Times the shipped styles in every runtime they have a file for: interleaved in one process, medians in ms.

python tools/benchmark.py --sizes=256,512 --rounds=9
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from animegan_tf.errors import ConfigError
from animegan_tf.options import check_bounds, option, run_program
from animegan_tf.runtime.stylizer import Stylizer, list_styles, read_style


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions:
    """Options of this tool; see options.option."""

    styles: tuple[str, ...] = option((), "styles, names or folders; empty: all that ship", "benchmark")
    sizes: tuple[str, ...] = option(("256", "512", "1080"), "sides of square pictures; 1080: 1920x1080", "benchmark")
    rounds: int = option(7, "timed passes over all combinations", "benchmark", low=1, high=1000)
    threads: int = option(0, "CPU threads; 0: all", "benchmark", low=0)

    def __post_init__(self) -> None:
        check_bounds(self)
        if not all(size.isdigit() and int(size) >= 16 for size in self.sizes):
            raise ConfigError(f"--sizes={','.join(self.sizes)}: sizes are whole numbers from 16.")


def measure(options: BenchmarkOptions) -> dict[tuple[str, str, str], float]:
    """Returns (style, runtime, size) -> median milliseconds from uint8 picture to uint8 picture."""
    jobs = {}
    random = np.random.default_rng(0)
    for style in options.styles or list_styles():
        for file in read_style(style).files:
            stylizer = Stylizer.load(style, file.format, file.precision, options.threads or None)
            for size in options.sizes:
                shape = (1080, 1920, 3) if size == "1080" else (int(size), int(size), 3)
                picture = random.integers(0, 256, shape).astype(np.uint8)
                jobs[style, f"{file.format} {file.precision}", size] = (stylizer, picture)
    times: dict = {key: [] for key in jobs}
    for _ in tqdm(range(options.rounds + 1), unit="round", disable=not sys.stderr.isatty()):
        for key, (stylizer, picture) in jobs.items():
            start = time.perf_counter()
            stylizer(picture)
            times[key].append(1000 * (time.perf_counter() - start))
    # The first pass warms up: allocation, thread pools, TensorFlow's tracing.
    return {key: statistics.median(values[1:]) for key, values in times.items()}


def main(options: BenchmarkOptions) -> None:
    """Prints the table."""
    found = measure(options)
    print(f"median ms of {options.rounds} interleaved rounds, {options.threads or os.cpu_count()} threads")
    print(f"{'style':<12} {'runtime':<22}" + "".join(f"{size:>10}" for size in options.sizes))
    for style, runtime in dict.fromkeys(key[:2] for key in found):
        cells = "".join(f"{found[style, runtime, size]:>10.1f}" for size in options.sizes)
        print(f"{style:<12} {runtime:<22}{cells}")


if __name__ == "__main__":
    purpose = "Times styles in every runtime they have a file for, interleaved in one process."
    sys.exit(run_program(BenchmarkOptions, main, program="benchmark", purpose=purpose))
