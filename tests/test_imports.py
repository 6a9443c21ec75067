"""The import rules of the house, read from the source: who may lean on whom, and what loads TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "animegan_tf"
LEAVES = {"errors", "options", "config", "recipe_files", "images", "manifest", "native"}
ALLOWED = {
    "errors": set(),
    "options": {"errors"},
    "config": {"errors", "options"},
    "recipe_files": {"config", "errors", "options"},
    "images": {"errors"},
    "manifest": {"errors"},
    "native": {"errors"},
    "data": {"images", "errors"},
    "models": {"errors"},
    "losses": set(),
    "training": {"config", "recipe_files", "options", "data", "models", "losses", "images", "errors", "native"},
    "compression": {"training", "models", "config", "options", "images", "errors", "native"},
    "evaluation": {"runtime", "models", "data", "images", "manifest", "options", "errors", "native"},
    "export": {"models", "images", "config", "recipe_files", "options", "manifest", "errors", "native"},
    "runtime": {"images", "manifest", "errors", "native"},
    "studio": {
        *("training", "export", "evaluation", "runtime", "data"),
        *("config", "recipe_files", "options", "images", "manifest", "errors", "native"),
    },
    "benchmark": {
        *("training", "export", "evaluation", "runtime", "data", "models"),
        *("config", "recipe_files", "options", "images", "manifest", "errors", "native"),
    },
    "apps": {"runtime", "images", "errors"},
}
# Rooms that stylizing needs: no TensorFlow, Keras or OpenCV at import.
LIGHT = LEAVES | {"runtime", "apps", "data"}
HEAVY = {"tensorflow", "keras", "cv2", "onnx", "onnxruntime", "tf2onnx"}


def _rooms() -> dict[str, list[Path]]:
    rooms = {path.stem: [path] for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
    for folder in PACKAGE.iterdir():
        if folder.is_dir() and any(folder.glob("*.py")):
            rooms[folder.name] = sorted(folder.rglob("*.py"))
    return rooms


def _imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # What is imported for annotations alone is no dependency.
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test))]
    nodes = tree.body if top_level_only else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _own_rooms(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in _imports(path) if name.startswith("animegan_tf.")}
    return {name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()}


def test_every_room_has_a_rule():
    assert set(_rooms()) == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_lean_only_on_what_they_may(room):
    for path in _rooms()[room]:
        assert _own_rooms(path) - {room} <= ALLOWED[room], path


@pytest.mark.parametrize("room", sorted(LIGHT))
def test_light_rooms_load_nothing_heavy_at_import(room):
    for path in _rooms()[room]:
        tops = {name.split(".")[0] for name in _imports(path, top_level_only=True)}
        assert not tops & HEAVY, path


@pytest.mark.parametrize("room", ["data", "models", "losses", "training"])
def test_what_trains_under_jax_loads_no_tensorflow_at_import(room):
    for path in _rooms()[room]:
        tops = {name.split(".")[0] for name in _imports(path, top_level_only=True)}
        assert not tops & {"tensorflow", "tensorboard", "jax", "skimage", "scipy"}, path


def test_absl_is_touched_in_options_alone_and_stars_nowhere():
    for path in PACKAGE.rglob("*.py"):
        names = _imports(path)
        assert path.name == "options.py" or not any(name.split(".")[0] == "absl" for name in names), path
        assert not any(name.endswith(".*") for name in names), path


def test_nothing_imports_tools_tests_or_flags():
    for path in PACKAGE.rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & {"tools", "tests", "flags"}, path


def test_files_and_functions_stay_short():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno <= 60, f"{path}:{node.name}"


def test_all_that_is_public_exists_and_is_sorted():
    import animegan_tf

    assert animegan_tf.__all__ == sorted(animegan_tf.__all__)
    assert all(getattr(animegan_tf, name) for name in animegan_tf.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Stylzer'"):
        animegan_tf.Stylzer  # noqa: B018


def test_the_package_loads_without_tensorflow():
    code = (
        "import sys, animegan_tf; animegan_tf.Stylizer; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
