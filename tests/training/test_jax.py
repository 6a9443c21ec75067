"""Training under JAX: the same steps as under TensorFlow, the same run folder, and nothing of TensorFlow installed.

Keras has one backend for the life of a process: JAX's side runs in programs of its own, run_case.py and train_alone.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import run_case
from toys import TOYS, ToyGenerator

from animegan_tf.data.regions import superpixels
from animegan_tf.errors import ConfigError, MissingExtraError
from animegan_tf.images import to_float, to_uint8
from animegan_tf.options import to_flagfile
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.training import backend
from animegan_tf.training.checkpoints import save_checkpoint
from animegan_tf.training.run import train

pytest.importorskip("jax")
HERE = Path(__file__).parent
# Compiling is what these programs do most of the time.
QUICK = {"KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}

GAN = {
    "discriminator_steps": 2,
    "gradient_penalty": "wgan_gp",
    "penalty_weight": 10.0,
    "freeze_threshold": 1e-6,
    "ema_decay": 0.99,
    "clip_norm": 5.0,
    "gram_target": "set",
    "gram_memory": 0.8,
}
FROZEN = {"gradient_penalty": "r1", "penalty_weight": 1.0, "freeze_threshold": 1e6, "adversarial_loss": "hinge",
          "generator_optimizer": "muon"}  # fmt: skip
DOUBLE_TAIL = {"pretrain_tails": "support", "ema_decay": 0.0}
HALF = {"gradient_penalty": "none", "ema_decay": 0.9}

PRETRAINED = [["pretrain", 0, 1], ["train", 1, 3]]
CASES: dict[str, tuple[dict, list]] = {
    "gan": (GAN, PRETRAINED),
    "frozen": (FROZEN, [["discriminator", 0, 1, 2], ["train", 1, 2, 1, 0, 4]]),
    "double_tail": (DOUBLE_TAIL, [["pretrain", 0, 1], ["train", 1, 2]]),
    # Its attention takes a maximum, see mobile._largest. One step: batch renormalisation cuts corrections off, and Adam
    # makes a full step next of what is left of a gradient there.
    "mobile": ({"generator": "mobile"}, [["train", 0, 1]]),
    "mixed_bfloat16": (HALF, [["train", 0, 2]]),
    "mixed_float16": (HALF, [["train", 0, 15]]),
}


def _python(program: str, *arguments: str) -> str:
    command = [sys.executable, str(HERE / program), *arguments]
    done = subprocess.run(command, env=os.environ | QUICK, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> dict[str, Path]:
    """Returns the folders of the quick cases, with the steps under both backends in them; started from one state."""
    return _run_cases(tmp_path_factory, "gan", "frozen")


@pytest.fixture(scope="module")
def slow_cases(tmp_path_factory) -> dict[str, Path]:
    """Returns the folders of the rest."""
    return _run_cases(tmp_path_factory, "double_tail", "mobile", "mixed_bfloat16", "mixed_float16")


def _run_cases(tmp_path_factory, *names: str) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for networks, toy in TOYS:
            patch.setitem(networks, "toy", toy)
        for name, folder in folders.items():
            changes, plan = CASES[name]
            config = _config(name, changes)
            (folder / "recipe.flags").write_text(to_flagfile(config))
            (folder / "plan.json").write_text(json.dumps(plan))
            np.savez(folder / "batch.npz", **_batch(config))
            save_checkpoint(run_case.build_case(folder), folder, keep=1)
            run_case.run_case(folder)
    _python("run_case.py", *map(str, folders.values()))
    return folders


def _config(name: str, changes: dict):
    recipes = list_recipes()
    small = {"content_layer": "block1_conv2", "vgg19_weights": "random", "image_size": 32}
    if name == "double_tail":
        small |= {"gram_layers": (), "gram_layer_weights": ()}
        return replace(read_flagfile(recipes["animeganv3_hayao"]), **small, **changes)
    precision = name if name.startswith("mixed") else "float32"
    rates = {"pretrain_lr": 1e-3, "generator_lr": 1e-3, "discriminator_lr": 1e-3}
    changes = {"generator": "toy", "discriminator": "toy"} | changes
    return replace(read_flagfile(recipes["smoke"]), **small, **rates, precision=precision, **changes)


def _batch(config) -> dict[str, np.ndarray]:
    random, count = np.random.default_rng(3), 2 * config.discriminator_steps
    photo, anime = random.uniform(-1, 1, (2, count, 32, 32, 3)).astype("float32")
    gray = np.repeat(anime.mean(-1, keepdims=True), 3, axis=-1)
    regions = np.stack([to_float(superpixels(to_uint8(picture), min_size=10)) for picture in photo])
    streams = {"photo": photo, "anime": anime, "anime_gray": gray, "anime_smooth": gray * 0.5}
    return streams | ({"photo_regions": regions} if config.photo_region_weight else {})


def _results(folder: Path) -> tuple[dict[str, np.ndarray], list[dict[str, float]]]:
    return _newest(folder), json.loads((folder / "logs.json").read_text())


def _newest(run_dir: Path) -> dict[str, np.ndarray]:
    with np.load(sorted(run_dir.glob("checkpoints/*/state.npz"))[-1]) as data:
        return dict(data)


@pytest.mark.parametrize("name", ["gan", "frozen"])
def test_steps_from_one_state_agree_in_every_variable_and_term(cases, name):
    _agree(cases[name], steps={"gan": 3, "frozen": 2}[name])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("double_tail", 2), ("mobile", 1)])
def test_steps_of_other_networks_agree_too(slow_cases, name, steps):
    _agree(slow_cases[name], steps)


def _agree(folder: Path, steps: int) -> None:
    (state, logs), (jax_state, jax_logs) = (_results(folder / side) for side in ("tensorflow", "jax"))
    start = _newest(folder)
    assert state.keys() == jax_state.keys() and state["step"] == len(logs) == steps
    for one, other in zip(logs, jax_logs, strict=True):
        assert one.keys() == other.keys()
        for term, value in one.items():
            assert other[term] == pytest.approx(value, rel=1e-4, abs=1e-5), term
    for key, value in state.items():
        # Moments have the size of gradients, of losses weighted by hundreds; how sums of them are rounded depends on
        # the processor: 1.6e-4 of the largest where it has AVX2 alone.
        atol = 1e-4 + 3e-4 * np.abs(value).max() if "optimizer" in key else 1e-5
        np.testing.assert_allclose(jax_state[key], value, rtol=1e-4, atol=atol, err_msg=key)
    assert any((state[key] != start[key]).any() for key in state if key.startswith("generator/"))


def test_the_cases_go_through_what_they_are_meant_to(cases):
    state, logs = _results(cases["gan"] / "jax")
    assert [log["frozen/d"] for log in logs[1:]] == [0, 0] and "frozen/d" not in logs[0]
    assert all(log["loss/d/penalty"] > 0 for log in logs[1:]) and (state["objective/000"] != 0).any()
    assert state["discriminator_optimizer/000"] == 4 and state["generator_optimizer/000"] == 3
    state, logs = _results(cases["frozen"] / "jax")
    assert [log["frozen/d"] for log in logs] == [1, 1] and state["discriminator_optimizer/000"] == 0
    assert "loss/g/total" not in logs[0] and "loss/g/total" in logs[1]


def test_the_weights_to_export_are_the_same_file(cases):
    """Each backend's generator.weights.h5 loads here and holds what its state.npz holds."""
    for side in ("tensorflow", "jax"):
        state, _ = _results(cases["gan"] / side)
        generator = ToyGenerator(4)
        generator.build((None, None, None, 3))
        generator.load_weights(next((cases["gan"] / side).glob("checkpoints/*/generator.weights.h5")))
        for position, variable in enumerate(generator.variables):
            np.testing.assert_array_equal(variable.numpy(), state[f"averaged/{position:03d}"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(slow_cases, name):
    before, (state, logs) = _newest(slow_cases[name]), _results(slow_cases[name] / "jax")
    assert all(np.isfinite(value) for log in logs for value in log.values())
    assert any((state[key] != before[key]).any() for key in state if key.startswith("generator/"))
    _, others = _results(slow_cases[name] / "tensorflow")
    assert logs[0]["loss/g/total"] == pytest.approx(others[0]["loss/g/total"], rel=0.05)


def test_runs_go_from_one_backend_to_the_other_with_nothing_of_tensorflow_installed(tiny_config, tmp_path):
    """Under JAX: a run of its own and the same in two parts, and a run that TensorFlow started and ends."""
    whole = train(replace(tiny_config, run_dir=str(tmp_path / "whole")))
    mixed = replace(tiny_config, run_dir=str(tmp_path / "mixed"), max_steps=3)
    train(mixed)
    started = replace(mixed, resume=True, max_steps=0)
    recipes = {"mixed": started}
    for name in ("alone", "parts"):
        recipes[name] = replace(tiny_config, run_dir=str(tmp_path / name), sample_every=3)
    for name, config in recipes.items():
        (tmp_path / f"{name}.flags").write_text(to_flagfile(config))
    runs = ["resume={}/mixed.flags:6", "{}/alone.flags", "{}/parts.flags:5", "resume={}/parts.flags"]
    said = _python("train_alone.py", *(run.format(tmp_path) for run in runs))
    assert said.count("no scalars in this run. Writing scalars needs tensorboard: pip install tensorboard") == 4
    assert "cores under JAX, float32" in said
    state, resumed = (_newest(tmp_path / name) for name in ("alone", "parts"))
    assert state.keys() == resumed.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)
    run_dir = tmp_path / "alone"
    assert {path.name for path in run_dir.iterdir()} == {"recipe.flags", "log.txt", "samples", "checkpoints"}
    assert [path.name for path in sorted((run_dir / "samples").iterdir())] == [
        f"step-{step:08d}.jpg" for step in (3, 6, 8)
    ]
    assert "step 8 loss/d/anime=" in (run_dir / "log.txt").read_text()
    ended = train(started)
    assert ended.step == whole.step == 8
    for term, value in whole.logs.items():
        assert ended.logs[term] == pytest.approx(value, rel=2e-3, abs=1e-4), term


@pytest.mark.parametrize(
    ("environment", "config", "name"),
    [
        ({}, None, "tensorflow"),
        ({}, '{"backend": "jax"}', "jax"),
        ({"KERAS_BACKEND": "torch"}, '{"backend": "jax"}', "torch"),
        ({}, "no json", "tensorflow"),
    ],
)
def test_the_backend_is_known_before_keras_is_loaded(monkeypatch, tmp_path, environment, config, name):
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    for key, value in ({"KERAS_HOME": str(tmp_path)} | environment).items():
        monkeypatch.setenv(key, value)
    if config:
        (tmp_path / "keras.json").write_text(config)
    assert backend.chosen_backend() == name


def test_a_backend_that_does_not_train_is_one_sentence(monkeypatch):
    monkeypatch.setattr(backend, "chosen_backend", lambda: "torch")
    with pytest.raises(ConfigError, match="^Training runs on TensorFlow or JAX, not on torch: set KERAS_BACKEND=tens"):
        backend.load_backend()


def test_jax_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setattr(backend, "chosen_backend", lambda: "jax")
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(MissingExtraError, match=r"KERAS_BACKEND=jax needs jax: pip install 'animegan-tf\[jax\]'"):
        backend.load_backend()
