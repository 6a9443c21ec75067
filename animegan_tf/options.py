"""Options of a program: a frozen dataclass <-> absl flags <-> flagfile text. Every tool describes its own in this way.

Bounds, help and messages so look the same everywhere, and absl is touched in this file alone.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from animegan_tf.errors import AnimeganError, ConfigError, UsageError, needs_extra

T = TypeVar("T")


def option(default: Any, help: str, group: str, *, low=None, high=None, choices: tuple[str, ...] | None = None) -> Any:
    """Returns a dataclass field that is also an absl flag.

    Args:
      default: bool, int, float, str or tuple of str (a comma-separated flag).
      help: one sentence; units in it where there are any.
      group: heading of the help text and of the flagfile.
      low, high: inclusive bounds of a number.
      choices: the allowed strings.
    """
    return dataclasses.field(
        default=default, metadata={"help": help, "group": group, "low": low, "high": high, "choices": choices}
    )


def check_bounds(config: Any) -> None:
    """Raises ConfigError for the first field of a dataclass of `option`s that breaks its own bounds or choices."""
    for field in dataclasses.fields(config):
        value, meta = getattr(config, field.name), field.metadata
        if meta["choices"] and value not in meta["choices"]:
            raise ConfigError(f"--{field.name}={value} is not one of {', '.join(meta['choices'])}.")
        if meta["low"] is not None and not value >= meta["low"]:
            raise ConfigError(f"--{field.name}={value:g} is below the smallest allowed value, {meta['low']:g}.")
        if meta["high"] is not None and not value <= meta["high"]:
            raise ConfigError(f"--{field.name}={value:g} is above the largest allowed value, {meta['high']:g}.")


def parse_flags(kind: type[T], argv: list[str]) -> T:
    """Returns `kind`, a dataclass of `option`s, filled from absl flags; --flagfile works, later flags win.

    Args:
      kind: the dataclass.
      argv: arguments without the program's name.

    Raises:
      ConfigError: an unknown flag (with a suggestion), a wrong type, a value out of bounds, a left-over argument.
    """
    # Alone: tools that train nothing, the client of a model server for one, need nothing else.
    with needs_extra("absl", "absl-py", None, "This program"):
        from absl import flags

    values = flags.FlagValues()
    _define(kind, values)
    flagfile = given_flag(argv, "flagfile")
    if flagfile is not None and not Path(flagfile).expanduser().is_file():
        raise UsageError(f"--flagfile={flagfile} does not exist.")
    try:
        left_over = values(["", *argv])[1:]
    except flags.Error as error:
        raise ConfigError(_one_sentence(str(error))) from None
    except UnicodeDecodeError:
        raise ConfigError(f"--flagfile={flagfile} is not a text file.") from None
    if left_over:
        raise ConfigError(f"Unexpected argument {left_over[0]!r}: options are written --name=value.")
    settings = {f.name: values[f.name].value for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def to_flagfile(config: Any, header: str = "") -> str:
    """Returns `config` as flagfile text with one comment line per group; `read_flagfile` gives it back equal."""
    lines = [f"# {line}".rstrip() for line in header.splitlines()]
    for group, fields in _by_group(type(config)).items():
        lines += ["", f"# {group}"]
        lines += [f"--{field.name}={_flag_text(getattr(config, field.name))}" for field in fields]
    return "\n".join(lines).lstrip("\n") + "\n"


def given_flag(argv: list[str], name: str) -> str | None:
    """Returns the last value of a flag on the command line, before parsing; None where it is not given.

    Knows the four forms absl takes: --name=value, --name value, and both with one dash. A flag without a value is "".
    """
    found = None
    for argument, following in zip(argv, [*argv, ""][1:], strict=True):
        head, equals, value = argument.partition("=")
        if head in (f"--{name}", f"-{name}"):
            found = value if equals else following if not following.startswith("-") else ""
    return found


def help_text(kind: type, program: str, purpose: str) -> str:
    """Returns the help of a program whose options are `kind`: name, default, meaning, bounds, by group."""
    lines = [f"usage: {program} [--flagfile=FILE] [--name=value ...]", "", purpose]
    for group, fields in _by_group(kind).items():
        lines += ["", f"{group}:"]
        for field in fields:
            head = f"  --{field.name}={_flag_text(field.default)}"
            lines.append(f"{head:<44} {field.metadata['help']}{_bounds_text(field.metadata)}")
    return "\n".join(lines)


def run_program(
    kind: type[T],
    main: Callable[[T], None],
    *,
    program: str,
    purpose: str,
    argv: list[str] | None = None,
    prepare: Callable[[list[str]], list[str]] | None = None,
) -> int:
    """Parses flags into `kind`, calls main(config), and turns every known error into one sentence and an exit code.

    Args:
      kind: dataclass of `option`s.
      main: the work.
      program, purpose: for the help text and messages.
      argv: arguments without the program's name; None takes the process's.
      prepare: changes the arguments before they are parsed.

    Returns:
      0; 1 for failed work, 2 for bad usage, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files that are not UTF-8 go out as they are
            stream.reconfigure(errors="surrogateescape")
    if any(a in ("--help", "-help", "-h", "--helpfull") for a in argv):
        print(help_text(kind, program, purpose))
        return 0
    try:
        main(parse_flags(kind, prepare(argv) if prepare else argv))
    except AnimeganError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{program}: stopped.", file=sys.stderr)
        return 130
    return 0


def _define(kind: type, values) -> None:
    from absl import flags

    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, meta, hint = field.name, field.metadata, hints[field.name]
        default: Any = field.default
        common = {"flag_values": values, "module_name": "animegan_tf"}
        if meta["choices"]:
            flags.DEFINE_enum(name, default, meta["choices"], meta["help"], **common)
        elif hint is bool:
            flags.DEFINE_boolean(name, default, meta["help"], **common)
        elif hint is int:
            flags.DEFINE_integer(name, default, meta["help"], meta["low"], meta["high"], **common)
        elif hint is float:
            flags.DEFINE_float(name, default, meta["help"], meta["low"], meta["high"], **common)
        elif hint is str:
            flags.DEFINE_string(name, default, meta["help"], **common)
        else:
            flags.DEFINE_list(name, list(default), meta["help"], **common)


def _one_sentence(message: str) -> str:
    message = " ".join(message.replace("FATAL Flags parsing error:", "").split())
    return message if message.endswith((".", "?")) else message + "."


def _by_group(kind: type) -> dict[str, list[dataclasses.Field]]:
    groups: dict[str, list[dataclasses.Field]] = {}
    for field in dataclasses.fields(kind):
        groups.setdefault(field.metadata["group"], []).append(field)
    return groups


def _flag_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):  # as people write it where that is the same number
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return str(value)


def _bounds_text(meta) -> str:
    if meta["choices"]:
        return f" ({' | '.join(meta['choices'])})"
    low, high = meta["low"], meta["high"]
    if low is None and high is None:
        return ""
    return f" ({low:g} or more)" if high is None else f" ({low:g} to {high:g})"


def numbers(name: str, texts: tuple[str, ...], low: float) -> tuple[float, ...]:
    """Returns the values of --name, a list of numbers. Raises ConfigError for another text or a value below `low`."""
    try:
        found = tuple(float(text) for text in texts)
    except ValueError:
        raise ConfigError(f"--{name}={','.join(texts)} must be numbers with commas between.") from None
    if any(not number >= low for number in found):
        raise ConfigError(f"--{name}={','.join(texts)}: numbers must be {low:g} or more.")
    return found


def whole_numbers(name: str, texts: tuple[str, ...], low: int) -> tuple[int, ...]:
    """Returns the values of --name, a list of whole numbers. Raises ConfigError as `numbers`, and for fractions."""
    found = numbers(name, texts, low)
    if not all(number.is_integer() for number in found):
        raise ConfigError(f"--{name}={','.join(texts)} must be whole numbers.")
    return tuple(int(number) for number in found)
