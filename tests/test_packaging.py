"""The wheel: one top-level name, recipes and styles inside, entry points that exist."""

import importlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """Returns the wheel built from this checkout, opened."""
    pytest.importorskip("build", reason="needs the extra dev")
    out = tmp_path_factory.mktemp("wheel")
    # Built from a copy, so that no build/ of the checkout leaks in or stays behind.
    source = out / "source"
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("needs a git checkout")
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        yield archive


def test_the_only_top_level_name_is_the_package(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"animegan_tf"}


def test_recipes_styles_and_types_are_inside(wheel):
    names = set(wheel.namelist())
    for path in [*(ROOT / "flags").glob("*.flags"), ROOT / "flags/__init__.py"]:
        assert f"animegan_tf/recipes/{path.name}" in names
    for path in (ROOT / "animegan_tf/styles").rglob("*"):
        if path.is_file():
            assert path.relative_to(ROOT).as_posix() in names
    assert "animegan_tf/py.typed" in names


def test_entry_points_exist(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    lines = [line for line in wheel.read(name).decode().splitlines() if "=" in line]
    names = {"animegan", "animegan-train", "animegan-export", "animegan-new-style"}
    assert {line.split("=")[0].strip() for line in lines} == names
    for line in lines:
        module, function = line.split("=")[1].strip().split(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_base_needs_no_training_package(wheel):
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    needs = [line for line in wheel.read(name).decode().splitlines() if line.startswith("Requires-Dist:")]
    base = {re.split("[<>=]", line.split()[1])[0].lower() for line in needs if "extra ==" not in line}
    assert base == {"numpy", "pillow", "ai-edge-litert", "click", "tqdm"}


def test_the_version_is_one(wheel):
    import animegan_tf

    assert f"animegan_tf-{animegan_tf.__version__}.dist-info/METADATA" in wheel.namelist()
