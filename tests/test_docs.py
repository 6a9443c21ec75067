"""The documents are true: generated pages are current, every command in the README parses, links lead somewhere."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from animegan_tf.apps.cli import cli
from animegan_tf.config import TrainConfig
from animegan_tf.export.run import ExportOptions
from animegan_tf.options import parse_flags
from animegan_tf.recipe_files import list_recipes, with_recipe
from animegan_tf.studio.options import NewStyleOptions, with_changes

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "flags/README.md", ROOT / "tools/README.md"]
PAGES.append(ROOT / "serving/README.md")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip() and not line.startswith("#")]


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def _check(command: str) -> None:
    """Raises or asserts unless the program of `command` takes its arguments."""
    program, *arguments = shlex.split(command)
    if program == "make":
        assert set(arguments) <= _make_targets(), command
    elif program == "animegan":
        name, *rest = arguments
        parent = cli.make_context("animegan", list(arguments))
        assert cli.commands[name].make_context(name, rest, parent=parent)
    elif program in ("python", "animegan-train", "animegan-export", "animegan-new-style"):
        script = Path(arguments.pop(0)).stem if program == "python" else program
        kinds = {
            "train": TrainConfig,
            "export": ExportOptions,
            "new_style": NewStyleOptions,
            "new-style": NewStyleOptions,
        }
        kind = kinds.get(script.removeprefix("animegan-")) or _options_of_tool(script)
        prepare = {TrainConfig: with_recipe, NewStyleOptions: with_changes}.get(kind, list)
        parse_flags(kind, prepare(arguments))
    else:
        assert program in ("pip", "git", "cd", "docker", "curl", "trtexec"), command


def _load_tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def _options_of_tool(name: str) -> type:
    kinds = [kind for key, kind in vars(_load_tool(name)).items() if key.endswith(("Options", "Config"))]
    return next(kind for kind in kinds if isinstance(kind, type) and kind is not TrainConfig)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_parses(monkeypatch, page):
    monkeypatch.chdir(ROOT)
    for command in _commands(page.read_text(encoding="utf-8")):
        _check(command)


def test_the_readme_shows_how_to_run_train_and_export():
    programs = {command.split()[0] for command in _commands(README)}
    assert programs >= {"make", "animegan", "animegan-train", "animegan-export", "python"}


def test_the_readme_gets_to_the_point():
    lines = README.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if line.startswith(("make ", "pip ")))
    assert first <= 25
    assert "make demo" in README and "make test" in README


def test_the_python_of_the_readme_compiles():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_generated_pages_are_current():
    for path, text in _load_tool("make_docs").pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make docs"


def test_the_android_page_says_what_the_exporter_says_of_hokusai():
    from animegan_tf.export.delegates import measure_coverage

    page = (ROOT / "docs/android.md").read_text(encoding="utf-8")
    lines = re.findall(r"^(model_\w+\.tflite) +(.* ops in XNNPACK.*)$", page, flags=re.MULTILINE)
    assert [name for name, _ in lines] == ["model_float32.tflite", "model_float16.tflite", "model_int8.tflite"]
    for name, said in lines:
        assert said == str(measure_coverage((ROOT / "animegan_tf/styles/hokusai" / name).read_bytes()))


def test_the_kotlin_of_the_android_page_falls_back_to_the_cpu_and_keeps_to_one_thread():
    blocks = re.findall(r"```kotlin\n(.*?)```", (ROOT / "docs/android.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    kotlin = "\n".join(blocks)
    assert re.findall(r"litert:litert-gpu(?:-api)?:([\d.]+)", kotlin) == ["1.0.1", "1.0.1"]
    attempt = re.search(
        r"private fun openOnGpu.*?return try \{(.*?)\} catch \(error: Throwable\)", kotlin, flags=re.DOTALL
    )
    assert "CompatibilityList().use {" in attempt[1] and "GpuDelegate(" in attempt[1]
    assert kotlin.count("newSingleThreadExecutor()") == 1 and "Dispatchers." not in kotlin
    threads = re.findall(
        r"(\w+)(?:\)|\.execute) \{ (?:frame -> .*)?(?:StyleModel\.open|model\.(?:stylize|close))\(", kotlin
    )
    assert threads == ["onStyleThread"] * 3 + ["styleThread"] * 2


def test_every_engine_of_the_tensorrt_page_takes_the_picture_that_it_names():
    from animegan_tf.runtime.stylizer import read_style

    page = (ROOT / "docs/tensorrt.md").read_text(encoding="utf-8")
    style = read_style("hokusai")
    margin, multiple = style.margin, style.size_multiple
    height, width = (-(-(side + 2 * margin) // multiple) * multiple for side in (720, 1280))
    shapes = re.findall(r"--(min|opt|max)Shapes=image:1x(\d+)x(\d+)x3", page)
    assert f"margin of {margin}" in page and "1280x720" in page and len(shapes) == 6
    for kind, *sides in shapes:
        sides = tuple(map(int, sides))
        assert all(side % multiple == 0 and side > 2 * margin for side in sides)
        assert sides == {"min": sides, "opt": (height, width), "max": (width, width)}[kind]


def test_every_tool_and_recipe_is_mentioned():
    tools = (ROOT / "tools/README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "tools").glob("*.py") if f"`{path.name}`" not in tools] == []
    assert [name for name in list_recipes() if f"`{name}`" not in (ROOT / "flags/README.md").read_text()] == []
