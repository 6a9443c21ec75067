"""Section runtimes: how long a picture takes in every runtime, and which share of the machine's arithmetic it uses."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from animegan_tf.benchmark import machine
from animegan_tf.benchmark.contestants import Contestant, published_contestants, style_contestants
from animegan_tf.benchmark.exported import exported_contestants
from animegan_tf.benchmark.options import BenchmarkOptions, read_size
from animegan_tf.benchmark.timing import Job, Pace, interleave, summary
from animegan_tf.runtime.stylizer import list_styles

Save = Callable[[], None]


def measure_runtimes(options: BenchmarkOptions, found: dict, save: Save) -> None:
    """Fills `found`: sizes: size -> what `measure_size` returns. Sizes that it holds already are passed over.

    Args:
      options: which styles, systems, published models and sizes.
      found: of this section; changed.
      save: called when a size is done.
    """
    contestants, pace = all_contestants(options), Pace(options.rounds, options.seconds)
    sizes = found.setdefault("sizes", {})
    for size in options.sizes:
        if size not in sizes:
            sizes[size] = measure_size(contestants, size, pace, options.max_gmacs)
            save()


def all_contestants(options: BenchmarkOptions) -> list[Contestant]:
    """Returns all that `options` name: styles, then systems, then published models. Raises as they do."""
    published = published_contestants(Path(options.anchors)) if options.anchors else []
    styles = [each for style in options.styles or list_styles() for each in style_contestants(style)]
    return [*styles, *exported_contestants(options), *published]


def measure_size(contestants: list[Contestant], size: str, pace: Pace, max_gmacs: float) -> dict:
    """Returns the times of a picture of `size`, uint8 array in and out, and of products of matrices in the same rounds.

    Returns:
      started, load_average. rows: one for each contestant with its network, kind, runtime, gmacs (of the picture),
      ms (its `summary`), times (round -> ms), gmacs_per_s, share (of the fastest product of matrices). matmul: see
      `machine.best_rate`. left_out: the names of those that need more than `max_gmacs`.
    """
    shape = read_size(size)
    taken = [each for each in contestants if each.takes(shape)]
    gmacs = {each.name: each.macs(shape) / 1e9 for each in taken}
    left_out = [each.name for each in taken if gmacs[each.name] > max_gmacs]
    taken = [each for each in taken if each.name not in left_out]
    photo = random_photo(*shape)
    jobs = {each.name: Job(functools.partial(_load, each, photo), each.resident) for each in taken}
    matmul = machine.matmul_jobs()
    section: dict = {"started": time.strftime("%Y-%m-%d %H:%M"), "load_average": machine.load_average()}
    times = interleave(jobs | matmul, pace, title=size)
    rate = machine.best_rate({name: times[name] for name in matmul})
    rows = [_row(each, gmacs[each.name], times[each.name], rate["gmacs_per_s"]) for each in taken]
    return section | {"rows": rows, "matmul": rate, "left_out": left_out}


def random_photo(height: int, width: int) -> np.ndarray:
    """Returns [height, width, 3] uint8 RGB, random: no runtime here is faster on one picture than on another."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def _load(contestant: Contestant, photo: np.ndarray) -> Callable[[], object]:
    return functools.partial(contestant.load(), photo)


def _row(contestant: Contestant, gmacs: float, times: dict[int, float], rate: float) -> dict:
    found = summary(times.values())
    reached = 1000 * gmacs / found["median"]
    return {
        "network": contestant.network,
        "kind": contestant.kind,
        "runtime": contestant.runtime,
        "gmacs": gmacs,
        "ms": found,
        "times": {str(number): value for number, value in times.items()},
        "gmacs_per_s": reached,
        "share": reached / rate,
    }
