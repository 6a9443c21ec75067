"""Times things against each other: in turns, in one process, so that whatever disturbs the machine hits all alike."""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

Run = Callable[[], Any]
Times = dict[int, float]
"""Number of the round -> milliseconds."""

_LEAST_ROUNDS = 3
_SLOW_SECONDS = 3.0


@dataclass(frozen=True)
class Job:
    """Something to time. load: returns the function whose calls are timed, ready to be called.

    resident: loaded once and kept. What is not is loaded for each of its turns, which costs time and saves memory:
    TFLite and ONNX Runtime keep the maps of a picture between calls, a gigabyte and more each.
    """

    load: Callable[[], Run]
    resident: bool = True


def ready(run: Run) -> Job:
    """Returns the job of a function that needs no loading."""
    return Job(lambda: run)


@dataclass(frozen=True)
class Pace:
    """How long things are timed.

    rounds: passes over all jobs. seconds: for each job in all; a slower one takes part in every second or fourth round,
    but in three at least. turn: seconds for which a turn calls a fast job again and again. rest: seconds before each
    turn, in which threads of the runtime before, that still spin, come to rest.
    """

    rounds: int
    seconds: float
    turn: float = 0.1
    rest: float = 0.02

    def stride(self, estimate: float) -> int:
        """Returns 1, 2 or 4 ...: a job that takes `estimate` seconds takes part in the rounds that it divides."""
        stride = 1
        while (
            estimate * _rounds_left(self.rounds, stride) > self.seconds
            and _rounds_left(self.rounds, 2 * stride) >= _LEAST_ROUNDS
        ):
            stride *= 2
        return stride


def interleave(
    jobs: Mapping[str, Job],
    pace: Pace,
    *,
    title: str = "",
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], None] = time.sleep,
) -> dict[str, Times]:
    """Returns job -> {round: milliseconds of a call}; of several calls in one turn the median.

    Every round takes the jobs in another order, the same each time. Before it is timed every job is called twice,
    what takes more than three seconds once. The first round has all jobs, and what takes part in few rounds has those
    in common with what takes part in more: see `ratio`.

    Args:
      jobs: name -> job.
      pace: how long.
      title: of the progress bar.
      clock, rest: for tests.
    """
    order = random.Random(0)
    kept: dict[str, Run] = {}
    estimates = {}
    with _bar(len(jobs), f"{title} warm-up") as bar:
        for name, job in jobs.items():
            run = job.load()
            estimates[name] = _warm_up(run, clock)
            if job.resident:
                kept[name] = run
            del run
            bar.update()
    strides = {
        name: pace.stride(max(estimate, pace.turn) * (1 if jobs[name].resident else 2))
        for name, estimate in estimates.items()
    }
    times: dict[str, Times] = {name: {} for name in jobs}
    with _bar(sum(_rounds_left(pace.rounds, stride) for stride in strides.values()), title) as bar:
        for number in range(pace.rounds):
            names = [name for name in jobs if number % strides[name] == 0]
            order.shuffle(names)
            for name in names:
                run = kept.get(name) or jobs[name].load()
                cold = name not in kept or estimates[name] < pace.turn
                rest(pace.rest)
                times[name][number] = 1000 * _turn(run, pace.turn, clock, cold)
                del run
                bar.update()
    return times


def summary(values: Iterable[float]) -> dict[str, float]:
    """Returns median, low and high (quartiles), min, max and the number of `values`."""
    found = sorted(values)
    low, _, high = statistics.quantiles(found, n=4, method="inclusive") if len(found) > 1 else (found[0],) * 3
    middle = statistics.median(found)
    return {"median": middle, "low": low, "high": high, "min": found[0], "max": found[-1], "rounds": len(found)}


def ratio(slow: Times, fast: Times) -> dict[str, float] | None:
    """Returns the `summary` of slow / fast over the rounds that both took part in; None where there is none."""
    common = slow.keys() & fast.keys()
    return summary(slow[number] / fast[number] for number in common) if common else None


def _rounds_left(rounds: int, stride: int) -> int:
    return -(-rounds // stride)


def _warm_up(run: Run, clock: Callable[[], float]) -> float:
    """Calls twice, and returns the seconds of the second call; calls once what is slow."""
    first = _seconds(run, clock)
    return first if first > _SLOW_SECONDS else _seconds(run, clock)


def _turn(run: Run, least: float, clock: Callable[[], float], cold: bool) -> float:
    if cold:
        run()
    taken = [_seconds(run, clock)]
    while sum(taken) < least:
        taken.append(_seconds(run, clock))
    return statistics.median(taken)


def _seconds(run: Run, clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start


def _bar(total: int, title: str) -> tqdm:
    return tqdm(
        total=total, desc=title.strip(), unit=" turns", dynamic_ncols=True, leave=False, disable=not sys.stderr.isatty()
    )
