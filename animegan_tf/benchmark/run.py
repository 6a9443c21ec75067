"""Runs the sections, and writes what they found as soon as they found it."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

from animegan_tf import images
from animegan_tf.benchmark import machine
from animegan_tf.benchmark.contestants import published_contestants
from animegan_tf.benchmark.options import BenchmarkOptions, without_folders
from animegan_tf.benchmark.pipeline import measure_pipeline
from animegan_tf.benchmark.plot import draw_plot
from animegan_tf.benchmark.processes import measure_memory, measure_startup
from animegan_tf.benchmark.report import read_report, to_markdown, with_results
from animegan_tf.benchmark.runtimes import Save, measure_runtimes
from animegan_tf.benchmark.targets import SIDE, judge_targets
from animegan_tf.benchmark.training import measure_training
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import ConfigError
from animegan_tf.runtime.stylizer import list_styles, read_style

JSON_NAME, PAGE_NAME, PLOT_NAME = "benchmark.json", "benchmark.md", "benchmark.png"
_SECTIONS: dict[str, Callable[[BenchmarkOptions, dict, Save], None]] = {
    "runtimes": measure_runtimes,
    "memory": measure_memory,
    "startup": measure_startup,
    "pipeline": measure_pipeline,
    "training": measure_training,
}


def measure(options: BenchmarkOptions) -> dict:
    """Measures the sections that `options` name, writes the files of --out after each part, and returns the report.

    Returns:
      command. machine: see `machine.describe_machine`. settings: see `BenchmarkOptions.settings`. styles: style -> its
      files -> their SHA-256. sections: name -> what its function says, started, load_average, seconds, and finished.
      targets: see `targets.judge_targets`.

    Raises:
      ConfigError: --out holds results and neither --resume nor --overwrite is given, or results of another machine,
        with other settings or of other files. UnknownNameError, DataError ...: a style or a folder is not there.
        ImageError: --out cannot be written. Besides the errors of the sections.
    """
    out = Path(options.out)
    _check_paths(options)
    report = _begin(options, out)
    note = machine.busy_note(machine.load_average(), report["machine"]["cores"])
    if note:
        print(f"benchmark: {note}", file=sys.stderr)
    for name in options.sections:
        found = report["sections"].setdefault(name, {})
        if found.get("finished"):
            continue
        found |= {"started": time.strftime("%Y-%m-%d %H:%M"), "load_average": machine.load_average()}
        start = time.perf_counter() - found.get("seconds_taken", 0.0)

        def save(found: dict = found, start: float = start) -> None:
            found["seconds_taken"] = round(time.perf_counter() - start, 1)
            write_results(report, out)

        _SECTIONS[name](options, found, save)
        found["finished"] = True
        save()
        print(f"{name}: {found['seconds_taken']:.0f} s", file=sys.stderr)
    write_results(report, out)
    return report


def write_results(report: dict, out: Path) -> None:
    """Writes benchmark.json, benchmark.md, and the plot where something was timed, with the targets judged anew."""
    report["targets"] = judge_targets(report)
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    images.write_atomic(out / JSON_NAME, f"{data}\n".encode())
    images.write_atomic(out / PAGE_NAME, to_markdown(report).encode())
    _write_plot(report, out / PLOT_NAME)


def write_page(options: BenchmarkOptions) -> None:
    """Writes the tables of --out into --page, the report as .json beside it, and the plot below images/.

    Raises:
      ConfigError: there is no report, or no page that has a place for it.
    """
    page, report = Path(options.page), read_report(Path(options.out) / JSON_NAME)
    if not page.is_file():
        raise ConfigError(f"--page={page} does not exist.")
    text = with_results(page.read_text(encoding="utf-8"), report)
    data = json.dumps(report, ensure_ascii=False, allow_nan=False)
    images.write_atomic(page.with_suffix(".json"), f"{data}\n".encode())
    images.write_atomic(page, text.encode())
    _write_plot(report, page.parent / "images" / f"{page.stem}.png")


def run_benchmark(options: BenchmarkOptions) -> None:
    """Measures and prints the tables, or writes --page."""
    if options.page:
        write_page(options)
        print(options.page)
        return
    measure(options)
    print((Path(options.out) / PAGE_NAME).read_text(encoding="utf-8"))


def _check_paths(options: BenchmarkOptions) -> None:
    """Raises now what would end the run after minutes."""
    for style in (*options.styles, options.main_style):
        read_style(style)
    if options.anchors:
        published_contestants(Path(options.anchors))
    for name in ("photo_dir", "style_dir"):
        if getattr(options, name):
            list_pictures(Path(getattr(options, name)), name)


def _begin(options: BenchmarkOptions, out: Path) -> dict:
    """Returns the report to fill: a new one, or the one in `out` without what is to be measured anew."""
    path = out / JSON_NAME
    fresh: dict = {
        "command": _command(),
        "machine": machine.describe_machine(),
        "settings": options.settings,
        "styles": _style_files(options),
        "sections": {},
        "targets": [],
    }
    if not path.exists() or (options.overwrite and not options.resume):
        return fresh
    if not options.resume:
        raise ConfigError(f"--out={out} holds {JSON_NAME} already: add --resume to go on, --overwrite to begin anew.")
    report = read_report(path)
    if report["machine"] != json.loads(json.dumps(fresh["machine"])):
        raise ConfigError(f"{path} was measured on another machine or with other packages: begin anew by --overwrite.")
    other = [name for name, value in fresh["settings"].items() if report["settings"].get(name) != value]
    if other:
        names = ", ".join(f"--{name}" for name in other)
        raise ConfigError(f"{path} was measured with other settings ({names}): give the same, or begin anew.")
    known = report.get("styles", {})
    changed = [name for name in fresh["styles"] | known if fresh["styles"].get(name) != known.get(name)]
    if changed:
        raise ConfigError(f"{path} was measured with other files of {', '.join(changed)}: begin anew by --overwrite.")
    for name in options.sections if options.overwrite else ():
        report["sections"].pop(name, None)
    return report


def _style_files(options: BenchmarkOptions) -> dict[str, dict[str, str]]:
    """Returns style -> file -> SHA-256: an export under the same name is another style, and what ships may change."""
    named = [*(options.styles or list_styles()), options.main_style]
    return {without_folders(name): {file.path: file.sha256 for file in read_style(name).files} for name in named}


def _command() -> str:
    """Returns the command line, of paths their last names alone: where things lie is nobody else's business."""
    words = []
    for word in sys.argv[1:]:
        name, equals, value = word.rpartition("=")
        words.append(f"{name}{equals}{','.join(without_folders(item) for item in value.split(','))}")
    return shlex.join(["python", f"tools/{Path(sys.argv[0]).name}", *words])


def _write_plot(report: dict, path: Path) -> None:
    sizes = report["sections"].get("runtimes", {}).get("sizes", {})
    shown = SIDE if SIDE in sizes else next(iter(sizes), None)
    if shown and sizes[shown]["rows"]:
        images.write_picture(path, images.Picture(draw_plot(sizes[shown], shown)))
