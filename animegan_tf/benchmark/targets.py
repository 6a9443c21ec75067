"""What the measurements are to reach, and whether they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from animegan_tf.benchmark.contestants import FIXED, GRAPH, PUBLISHED, TINY
from animegan_tf.benchmark.exported import COMPARED, IMPORTED
from animegan_tf.benchmark.pipeline import DECODED, KEPT
from animegan_tf.benchmark.processes import PROGRAM
from animegan_tf.benchmark.timing import ratio

SIDE, FRAME = "512", "1280x720"


class Reached(NamedTuple):
    """A figure, and in words how far it varied or what it is of."""

    value: float
    note: str = ""


@dataclass(frozen=True)
class Target:
    """One figure to reach.

    what: in words. wanted: a lower bound, or with at_least=False an upper one, which must not be met exactly. unit:
    stands behind figures. measured: report of `run.measure` -> the figure; None where it was not measured.
    """

    what: str
    wanted: float
    unit: str
    measured: Callable[[dict], Reached | None]
    at_least: bool = True

    def judge(self, report: dict) -> dict:
        """Returns target, wanted, at_least, unit, reached, note, and met: whether it is, or None: not measured."""
        found = self.measured(report)
        met = None
        if found is not None:
            met = bool(found.value >= self.wanted if self.at_least else found.value < self.wanted)
        return {
            "target": self.what,
            "wanted": self.wanted,
            "at_least": self.at_least,
            "unit": self.unit,
            "reached": found and found.value,
            "note": found.note if found else "",
            "met": met,
        }


def judge_targets(report: dict) -> list[dict]:
    """Returns `Target.judge` of every target."""
    return [target.judge(report) for target in _targets(report["settings"])]


def _targets(settings: dict) -> list[Target]:
    style = settings["main_style"]
    return [*_speed_targets(style), *_other_targets(style, settings["large_size"])]


def _speed_targets(style: str) -> list[Target]:
    imported, tiny = (IMPORTED, "TFLite float32"), (PUBLISHED[TINY], "")
    pairs = [
        (f"{IMPORTED}, TFLite float32, to the published v3 TFLite", 3, imported, (PUBLISHED[FIXED], "TFLite")),
        (f"{IMPORTED}, TFLite float32, to the published graph", 1, imported, (PUBLISHED[GRAPH], "TensorFlow")),
        (f"{style} float32 to the published v3-tiny", 3, (style, "float32"), tiny),
        (f"{style} int8 to the published v3-tiny", 8, (style, "TFLite int8"), tiny),
        (f"{style} int8 to AnimeGANv2's generator", 60, (style, "TFLite int8"), (COMPARED, "")),
    ]
    return [
        Target(f"speed of {what}, {SIDE}x{SIDE}", wanted, "times", _Speed(ours, theirs))
        for what, wanted, ours, theirs in pairs
    ]


def _other_targets(style: str, large_size: str) -> list[Target]:
    return [
        Target(f"{style} int8, frames of {FRAME}", 20, "frames/s", lambda report: _frames(report, style)),
        Target(f"`{PROGRAM}` of a 512x512 picture, from the shell", 0.7, "s", _start, at_least=False),
        Target(f"peak memory of `{PROGRAM}`, {large_size}", 1.5, "GB", _memory, at_least=False),
        Target("input pipeline alone, 256x256, as the recipe has it", 300, "samples/s", _pipeline),
        Target("training step of AnimeGANv2 at 256x256, of the rate of matrix products", 0.5, "", _training),
    ]


@dataclass(frozen=True)
class _Speed:
    """How many times as fast `ours` is as `theirs`, each (network, part of the runtime's name): the fastest such.

    Where any runtime of theirs counts and the fastest is not one of float32, the note also says how it is to that.
    """

    ours: tuple[str, str]
    theirs: tuple[str, str]

    def __call__(self, report: dict) -> Reached | None:
        ours, theirs = (_fastest(report, SIDE, *each) for each in (self.ours, self.theirs))
        found = ours and theirs and ratio(_times(theirs), _times(ours))
        if not (ours and theirs and found):
            return None
        note = f"{found['low']:.2f} to {found['high']:.2f}; {ours['runtime']} to {theirs['runtime']}"
        plain = None if self.theirs[1] else _fastest(report, SIDE, self.theirs[0], "float32")
        further = plain and plain is not theirs and ratio(_times(plain), _times(ours))
        if plain and further:
            note += f"; {further['median']:.2f} to {plain['runtime']}"
        return Reached(found["median"], note)


def _fastest(report: dict, size: str, network: str, runtime: str) -> dict | None:
    sizes = report["sections"].get("runtimes", {}).get("sizes", {})
    rows = [row for row in sizes.get(size, {}).get("rows", []) if row["network"] == network]
    rows = [row for row in rows if runtime in row["runtime"]]
    return min(rows, key=lambda row: row["ms"]["median"], default=None)


def _times(row: dict) -> dict[int, float]:
    return {int(number): value for number, value in row["times"].items()}


def _frames(report: dict, style: str) -> Reached | None:
    row = _fastest(report, FRAME, style, "TFLite int8")
    if row is None:
        return None
    slow, middle, fast = (1000 / row["ms"][name] for name in ("high", "median", "low"))
    return Reached(middle, f"{slow:.1f} to {fast:.1f}")


def _start(report: dict) -> Reached | None:
    rows = [row for row in _rows(report, "startup") if row["program"] == f"{PROGRAM} float32"]
    return Reached(rows[0]["seconds"]["median"], _spread(rows[0]["seconds"])) if rows else None


def _memory(report: dict) -> Reached | None:
    rows = [row for row in _rows(report, "memory") if row["network"] == PROGRAM]
    worst = max(rows, key=lambda row: row["peak_mb"], default=None)
    return Reached(worst["peak_mb"] / 1000, worst["runtime"]) if worst else None


def _pipeline(report: dict) -> Reached | None:
    if report["sections"].get("pipeline", {}).get("image_size") != 256:
        return None
    rates = {row["files"]: row["samples_per_s"] for row in _rows(report, "pipeline")}
    if not {DECODED, KEPT} <= rates.keys():
        return None
    return Reached(rates[KEPT]["median"], f"{_spread(rates[KEPT])}; {rates[DECODED]['median']:.0f} {DECODED}")


def _training(report: dict) -> Reached | None:
    found = report["sections"].get("training", {})
    if not found.get("recipe", "").startswith("animeganv2_") or found["image_size"] != 256:
        return None
    return Reached(found["share"], f"{found['images_per_s']:.3f} images/s")


def _rows(report: dict, section: str) -> list[dict]:
    return report["sections"].get(section, {}).get("rows", [])


def _spread(found: dict) -> str:
    return f"{found['low']:.3g} to {found['high']:.3g}"
