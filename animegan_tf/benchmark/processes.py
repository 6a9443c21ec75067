"""Sections memory and startup: programs in processes of their own."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from animegan_tf.benchmark import fresh
from animegan_tf.benchmark.contestants import Contestant, published_contestants, style_contestants
from animegan_tf.benchmark.exported import exported_contestants
from animegan_tf.benchmark.options import BenchmarkOptions, read_size
from animegan_tf.benchmark.pictures import made_file
from animegan_tf.benchmark.runtimes import Save
from animegan_tf.benchmark.timing import summary
from animegan_tf.errors import AnimeganError
from animegan_tf.runtime.stylizer import read_style

START_SIDE = 512
PROGRAM = "animegan image"


def measure_memory(options: BenchmarkOptions, found: dict, save: Save) -> None:
    """Fills `found`: rows of network, runtime, size and peak_mb, each of a fresh process.

    Networks are given one picture of --memory_size as an array; `animegan image` is given a JPEG of --large_size, and
    writes one.
    """
    rows = found.setdefault("rows", [])
    done = {(row["network"], row["runtime"]) for row in rows}

    def add(network: str, runtime: str, size: str, command: list[str]) -> None:
        row = {"network": network, "runtime": runtime, "size": size}
        rows.append(row | {"peak_mb": round(run_fresh(command)["peak_mb"], 1)})
        save()

    size = read_size(options.memory_size)
    for each in tqdm(_weighed(options), desc="memory", unit=" processes", leave=False, disable=None):
        if (each.network, each.runtime) not in done:
            order = json.dumps({"contestant": dataclasses.asdict(each), "size": size})
            command = [sys.executable, "-m", "animegan_tf.benchmark.alone", order]
            add(each.network, each.runtime, options.memory_size, command)
    with made_file(*read_size(options.large_size)) as photo:
        for precision in _precisions(options.main_style):
            if (PROGRAM, f"TFLite {precision}") not in done:
                command = _stylize_command(photo, options.main_style, precision)
                add(PROGRAM, f"TFLite {precision}", options.large_size, command)


def measure_startup(options: BenchmarkOptions, found: dict, save: Save) -> None:
    """Fills `found`: rows of what was started and its seconds (`summary`).

    The programs are started in turns, in another order each time, after a round that is not counted.
    """
    order = random.Random(0)
    taken: dict[str, list[float]] = {}
    with made_file(START_SIDE, START_SIDE) as photo:
        commands = {"python -c pass": [sys.executable, "-c", "pass"]}
        commands["animegan --version"] = [*animegan_command(), "--version"]
        for precision in _precisions(options.main_style):
            commands[f"{PROGRAM} {precision}"] = _stylize_command(photo, options.main_style, precision)
        names = list(commands)
        for number in tqdm(range(options.starts + 1), desc="startup", unit=" rounds", leave=False, disable=None):
            order.shuffle(names)
            for name in names:
                seconds = run_fresh(commands[name])["seconds"]
                taken.setdefault(name, []).extend([seconds] if number else [])
    found["rows"] = [{"program": name, "seconds": summary(taken[name])} for name in commands]


def run_fresh(command: list[str]) -> dict:
    """Returns what fresh.py says of `command`: seconds, peak_mb.

    Raises:
      AnimeganError: it failed; the message holds the last line it wrote.
    """
    finished = subprocess.run([sys.executable, str(fresh.__file__), *command], capture_output=True, text=True)
    said = json.loads(finished.stdout.splitlines()[-1]) if finished.stdout else {"code": finished.returncode}
    if said["code"]:
        last = (finished.stderr.strip() or "it said nothing").splitlines()[-1]
        raise AnimeganError(f"A process of the benchmark failed with code {said['code']}: {last}")
    return said


def animegan_command() -> list[str]:
    """Returns what starts `animegan`: the program that belongs to this Python, or else its module."""
    program = Path(sys.executable).parent / "animegan"
    return [str(program)] if program.is_file() else [sys.executable, "-m", "animegan_tf.apps.cli"]


def _weighed(options: BenchmarkOptions) -> list[Contestant]:
    """Returns the main style in every runtime, and the other networks that are timed at every size."""
    others = exported_contestants(options)
    others += published_contestants(Path(options.anchors)) if options.anchors else []
    return style_contestants(options.main_style) + [each for each in others if not each.up_to and not each.fixed]


def _precisions(style: str) -> list[str]:
    manifest = read_style(style)
    return [precision for precision in ("float32", "int8") if manifest.find("tflite", precision)]


def _stylize_command(photo: Path, style: str, precision: str) -> list[str]:
    target = photo.with_name(f"stylized_{precision}.jpg")
    chosen = ["--style", style, "--precision", precision, "--output", str(target), "--overwrite"]
    return [*animegan_command(), "image", str(photo), *chosen]
