"""A benchmark for readers: tables in Markdown, and the page that holds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from animegan_tf.errors import ConfigError

START, END = "<!-- results: written by tools/benchmark.py --page -->", "<!-- end -->"
_DETAILED = "512"
_PASSES = {
    "generator": "generator, forwards and gradient of its kernels",
    "discriminator": "discriminator, its update on all kinds of pictures",
    "verdict": "discriminator on the stylized pictures, for the generator",
    "targets": "VGG19 on photos and style pictures",
    "features": "VGG19 on the stylized pictures, forwards and gradient of them",
}


def to_markdown(report: dict) -> str:
    """Returns the tables of a report of `run.measure`, those of sections that were measured."""
    sections = report["sections"]
    parts = [_head(report), "### Targets", _targets_table(report["targets"])]
    tables: dict[str, tuple[str, Callable[[dict], str]]] = {
        "runtimes": ("### A picture in every runtime", _runtimes),
        "memory": ("### Peak memory", _memory),
        "startup": ("### Start to end of a program", _startup),
        "pipeline": ("### Input pipeline", _pipeline),
        "training": ("### Training step", _training),
    }
    for name, (title, write) in tables.items():
        if sections.get(name, {}).keys() & {"sizes", "rows", "seconds"}:
            parts += [title, write(sections[name])]
    return "\n\n".join(parts) + "\n"


def with_results(text: str, report: dict) -> str:
    """Returns the page `text` with the tables of `report` between its marks.

    Raises:
      ConfigError: the page has no marks.
    """
    before, mark, rest = text.partition(START)
    between, end, after = rest.partition(END)
    if not mark or not end:
        raise ConfigError(f"--page has no place for the results: it needs the lines {START} and {END}.")
    return f"{before}{START}\n{to_markdown(report)}{END}{after}"


def read_report(path: Path) -> dict:
    """Returns the report in a benchmark.json. Raises ConfigError where there is none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: measure first.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from None
    if not isinstance(report, dict) or not {"machine", "settings", "sections", "targets"} <= report.keys():
        raise ConfigError(f"{path} is not the report of a benchmark.")
    return report


def _head(report: dict) -> str:
    machine, sections = report["machine"], report["sections"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    loads = [found["load_average"] for found in _started(sections) if found["load_average"] is not None]
    load = f"; load average at the start of a part {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    days = sorted({found["started"][:10] for found in _started(sections)})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "no day"
    known = machine.get("instructions")  # reports made before have none
    instructions = f" ({', '.join(known)})" if known else ""
    return (
        f"Measured on {when}: {machine['processor']}{instructions}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}{load}.\n"
        f"{packages}.\n\n`{report['command']}`"
    )


def _started(sections: dict) -> list[dict]:
    """Returns the parts that carry a time and a load: the sections, and the sizes of the section runtimes."""
    parts = [*sections.values(), *sections.get("runtimes", {}).get("sizes", {}).values()]
    return [part for part in parts if "started" in part]


def _targets_table(targets: Iterable[dict]) -> str:
    rows = []
    for each in targets:
        unit = f" {each['unit']}" if each["unit"] else ""
        wanted = f"{'at least' if each['at_least'] else 'less than'} {each['wanted']:g}{unit}"
        reached = "not measured" if each["reached"] is None else f"{three_digits(each['reached'])}{unit}"
        note = f" ({each['note']})" if each["note"] else ""
        met = {True: "yes", False: "**no**", None: "-"}[each["met"]]
        rows.append((each["target"], wanted, f"{reached}{note}", met))
    return _table(("target", "wanted", "reached (quartiles of the rounds)", "met"), rows)


def _runtimes(found: dict) -> str:
    sizes = found["sizes"]
    cells: dict[tuple[str, str], dict[str, dict]] = {}
    for size, part in sizes.items():
        for row in part["rows"]:
            cells.setdefault((row["network"], row["runtime"]), {})[size] = row
    rows = [
        (*names, *(three_digits(by_size[size]["ms"]["median"]) if size in by_size else "-" for size in sizes))
        for names, by_size in cells.items()
    ]
    head = ("network", "runtime", *(f"{size}, ms" if "x" in size else f"{size}x{size}, ms" for size in sizes))
    parts = [_table(head, rows)]
    left_out = [f"{name} at {size}" for size, part in sizes.items() for name in part["left_out"]]
    if left_out:
        parts.append(f"Left out, because they take too long or too much memory: {'; '.join(left_out)}.")
    detailed = _DETAILED if _DETAILED in sizes else next(iter(sizes), None)
    if detailed:
        parts += [f"In detail at {detailed}:", _detail(sizes[detailed])]
    rates = (f"{size}: {part['matmul']['gmacs_per_s']:.0f} ({part['matmul']['name']})" for size, part in sizes.items())
    parts.append(f"Fastest product of matrices in the rounds of each size, GMAC/s: {', '.join(rates)}.")
    return "\n\n".join(parts)


def _detail(part: dict) -> str:
    rows = [
        (
            *(row["network"], row["runtime"], three_digits(row["ms"]["median"])),
            f"{three_digits(row['ms']['low'])} to {three_digits(row['ms']['high'])}",
            *(three_digits(row["gmacs"]), three_digits(row["gmacs_per_s"]), f"{row['share']:.2f}"),
        )
        for row in sorted(part["rows"], key=lambda row: row["ms"]["median"])
    ]
    return _table(("network", "runtime", "ms", "quartiles", "GMAC", "GMAC/s", "of matrix products"), rows)


def _memory(found: dict) -> str:
    rows = [(row["network"], row["runtime"], row["size"], f"{row['peak_mb'] / 1000:.2f}") for row in found["rows"]]
    return _table(("network or program", "runtime", "picture", "GB"), rows)


def _startup(found: dict) -> str:
    rows = [
        (f"`{row['program']}`", f"{row['seconds']['median']:.3f}", _range(row["seconds"], ".3f"))
        for row in found["rows"]
    ]
    return _table(("program", "s", "quartiles"), rows)


def _pipeline(found: dict) -> str:
    rows = [
        (row["files"], f"{row['samples_per_s']['median']:.0f}", _range(row["samples_per_s"], ".0f"))
        for row in found["rows"]
    ]
    said = f"`{found['recipe']}`, {found['image_size']}x{found['image_size']}, batches of {found['batch_size']}; "
    return f"{said}{found['pictures']}.\n\n{_table(('files are', 'samples/s', 'quartiles'), rows)}"


def _training(found: dict) -> str:
    rows = [(_PASSES[name], three_digits(value)) for name, value in found["gmacs"].items()]
    rows.append(("all", three_digits(sum(found["gmacs"].values()))))
    size, seconds, matmul = found["image_size"], found["seconds"], found["matmul"]
    said = (
        f"`{found['recipe']}`, {size}x{size}, batch {found['batch_size']}: {seconds['median']:.2f} s a step "
        f"({_range(seconds, '.2f')}), {found['images_per_s']:.2f} images/s, {found['gmacs_per_s']:.1f} GMAC/s: "
        f"{found['share']:.2f} of the fastest product of matrices ({matmul['gmacs_per_s']:.1f}, {matmul['name']})."
    )
    return f"{said}\n\n{_table(('pass', 'GMAC a step'), rows)}"


def _range(found: dict, form: str) -> str:
    return f"{found['low']:{form}} to {found['high']:{form}}"


def three_digits(value: float) -> str:
    """Returns `value` in three digits or more, without a power of ten."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
