"""One's own style in one command: checked pictures, a training that fits the time, a style folder, a verdict."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.data.check import KINDS, PictureCheck, check_pictures
from animegan_tf.data.edges import list_pictures
from animegan_tf.errors import AnimeganError
from animegan_tf.export.style_folder import check_target
from animegan_tf.manifest import MANIFEST_NAME
from animegan_tf.native import chosen_backend
from animegan_tf.options import run_program
from animegan_tf.studio import publish
from animegan_tf.studio.options import PURPOSE, NewStyleOptions, changed_names, recipe_config, with_changes
from animegan_tf.studio.pictures import link_pictures
from animegan_tf.studio.plan import (
    Speed,
    describe_plan,
    fit_crops,
    fit_epochs,
    fit_schedule,
    measured_side,
    worth_replanning,
)
from animegan_tf.studio.state import Clock, State, check_same, in_words, locked, read_state, write_state
from animegan_tf.studio.timed import Watch, check_generator, choose_precision, measure, train_in_time

CHECK_NAME, VERDICT_NAME = "check.txt", "verdict.txt"


@dataclass
class Session:
    """One command at work: what it was told, its recipe, what it remembers, and its clock."""

    options: NewStyleOptions
    recipe: TrainConfig
    state: State
    clock: Clock

    @property
    def work(self) -> Path:
        """The work folder."""
        return self.options.work

    @property
    def run_dir(self) -> Path:
        """The folder of the training run."""
        return self.work / "run"

    def keep(self) -> None:
        """Writes down what is done and the time used."""
        self.state.spent = self.clock.spent
        write_state(self.work, self.state)


def make_style(options: NewStyleOptions) -> None:
    """Makes the style folder `options.out`, or goes on where an interrupted start of the same command was.

    Raises:
      AnimeganError: one sentence. KeyboardInterrupt: a signal came; the same command goes on.
    """
    recipe = recipe_config(options)
    for flag in KINDS:  # before anything is written
        list_pictures(Path(getattr(options, flag)), flag)
    if not _can_publish() and not _has_tensorflow():
        print("TensorFlow, which exports, is not installed here: the style is trained, no more.")
    with locked(options.work):
        session = _open(options, recipe)
        try:
            _run_stages(session, _FIRST)
            if _can_publish():
                _run_stages(session, _LAST)
        finally:
            session.keep()
    if not _can_publish():
        _publish_elsewhere(options)
        return
    print((options.work / VERDICT_NAME).read_text(encoding="utf-8"), end="")
    print(f"{options.target}: ready after {in_words(session.state.spent)}")


def main(argv: list[str] | None = None) -> int:
    """Entry point of `animegan-new-style` and tools/new_style.py; returns the exit code."""
    return run_program(
        NewStyleOptions, _run, program="animegan-new-style", purpose=PURPOSE, argv=argv, prepare=with_changes
    )


def _run(options: NewStyleOptions) -> None:
    try:
        make_style(options)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from here.")
        raise


def _open(options: NewStyleOptions, recipe: TrainConfig) -> Session:
    """Returns the session: a new one, or the one that an interrupted command left."""
    state = read_state(options.work)
    begun = any((options.work / "run/checkpoints").glob("step-*[0-9]"))
    finished = state is not None and state.done == list(_STAGES)
    if state is None or not begun or (finished and options.overwrite):
        check_target(options.target, options.overwrite)
        _empty(options.work)
        state = State(options.said)
    check_same(state, options.said, options.work)
    exported = (options.target / MANIFEST_NAME).exists()
    if "export" in state.done and not exported:
        state.done = list(_FIRST)
    elif state.exporting and exported and not options.overwrite and "export" not in state.done:
        state.done.append("export")  # and ended right there: the folder appears whole, and was not there before
    if "export" not in state.done:
        check_target(options.target, options.overwrite)
    if state.done and state.done != list(_STAGES):
        print(f"Going on in {options.work}: {', '.join(state.done)} done, {in_words(state.spent)} used.")
    session = Session(options, recipe, state, Clock(60 * options.minutes, state.spent))
    session.keep()
    return session


def _empty(work: Path) -> None:
    """Removes what an earlier command left in its work folder, and nothing else that may be there."""
    for name in ("pictures", "run", "probe"):
        shutil.rmtree(work / name, ignore_errors=True)


def _run_stages(session: Session, stages: Mapping[str, Callable[[Session], None]]) -> None:
    for name, stage in stages.items():
        if name not in session.state.done:
            stage(session)
            session.state.done.append(name)
            session.keep()


def _check(session: Session) -> None:
    check = _look(session)
    report = check.report()
    images.write_atomic(session.work / CHECK_NAME, report.encode())
    print(report, end="")
    check.require_enough()
    link_pictures(check, session.work)
    session.state.plan |= fit_crops(session.recipe, check, changed_names(session.options))


def _look(session: Session) -> PictureCheck:
    options, recipe = session.options, session.recipe
    return check_pictures(
        Path(options.photo_dir),
        Path(options.style_dir),
        smallest_side=recipe.image_size // 2,
        good_side=recipe.image_size,
        measured_side=measured_side(recipe),
        progress=sys.stderr.isatty(),
    )


def _plan(session: Session) -> None:
    options, plan = session.options, session.state.plan
    check_generator(session.recipe)
    plan["precision"] = choose_precision(options.precision)
    print("measuring the speed of this machine ...")
    speed = measure(_config(session), session.work, min(30.0, max(3.0, 0.02 * session.clock.budget)))
    session.state.reserve = publish.reserve(session.clock.budget, speed.start)
    session.state.speed = [speed.start, *speed.steps]
    seconds = session.clock.left - session.state.reserve
    plan |= fit_schedule(_config(session), speed, seconds, 60 * options.preview_minutes)
    print(f"plan: {describe_plan(_config(session), speed, seconds)}")


def _train(session: Session) -> None:
    watch = Watch(session.run_dir, session.clock, session.state.reserve, session.keep)
    state, config = session.state, _config(session)
    speed = Speed(state.speed[0], tuple(state.speed[1:]))

    def replan(pace: float | None) -> TrainConfig:
        state.plan |= fit_epochs(config, speed, session.clock.left - state.reserve, pace)
        session.keep()
        now = _config(session)
        print(f"plan: the machine as it is now does {now.epochs * now.steps_per_epoch} steps in all")
        return now

    again = "epochs" not in state.plan and worth_replanning(config, speed, session.clock.left)
    steps = train_in_time(config, watch, replan if again else None)
    config = _config(session)
    if steps < config.epochs * config.steps_per_epoch:
        print(f"The time for training was over after {steps} steps; its averaged generator is taken as it is.")


def _config(session: Session) -> TrainConfig:
    """Returns the recipe with what was planned and the folders of linked pictures."""
    pictures: dict[str, Any] = {f"{kind}_dir": str(session.work / "pictures" / kind) for kind in ("style", "photo")}
    return replace(session.recipe, **session.state.plan, **pictures)


def _export(session: Session) -> None:
    print("exporting ...")
    session.state.exporting = True
    session.keep()
    publish.export_style(session.options, session.run_dir, session.work / "pictures/photo")


def _evaluate(session: Session) -> None:
    print("evaluating ...")
    text = publish.evaluate_style(session.options, _config(session), session.run_dir, session.clock.left)
    images.write_atomic(session.work / VERDICT_NAME, text.encode())


_FIRST = {"check": _check, "plan": _plan, "train": _train}
_LAST = {"export": _export, "evaluate": _evaluate}
_STAGES = (*_FIRST, *_LAST)


def _can_publish() -> bool:
    """Whether this process can export: the converters are TensorFlow's, and a process has one Keras backend."""
    return chosen_backend() == "tensorflow"


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _publish_elsewhere(options: NewStyleOptions) -> None:
    """Runs the same command under TensorFlow, in a process of its own; the finished stages are skipped.

    Raises:
      AnimeganError: TensorFlow is not installed, or that process failed. KeyboardInterrupt: it was interrupted.
    """
    if not _has_tensorflow():
        raise AnimeganError("The style is trained; where TensorFlow is installed the same command goes on from here.")
    flags = [f"--{field.name}={getattr(options, field.name)}" for field in dataclasses.fields(options)]
    code = "import sys; from animegan_tf.studio.new_style import main; sys.exit(main())"
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    result = subprocess.run([sys.executable, "-c", code, *flags], env=environment)
    if result.returncode == 130:
        raise KeyboardInterrupt
    if result.returncode:
        raise AnimeganError("The style is trained, but what follows failed: the same command goes on from there.")
