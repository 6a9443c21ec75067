"""What happens between steps: checks, progress, scalars, sample grids, checkpoints, a clean stop.

Each is a Keras callback that counts steps of the whole run from the trainer's own step variable.
"""

from __future__ import annotations

import abc
import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from keras import ops
from PIL import Image
from tqdm import tqdm

from animegan_tf import images
from animegan_tf.errors import CheckpointError, MissingExtraError, TrainingError, needs_extra
from animegan_tf.training.checkpoints import last_good, save_checkpoint
from animegan_tf.training.gradients import on_tensorflow

_LOG_ALL_UNTIL = 20
_LOG_EVERY = 50


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Context in which a file that cannot be written, as on a full disk, raises CheckpointError: one sentence."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"Cannot write {path}: {error.strerror or error}.") from None


class StepCallback(keras.callbacks.Callback, abc.ABC):
    """Calls `on_step(step, logs)` after each training step, with the number of steps finished in the whole run."""

    def __init__(self):
        super().__init__()
        self.step = 0

    def on_train_begin(self, logs=None):
        self.step = int(self.model.step.numpy())

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.on_step(self.step, logs)

    @abc.abstractmethod
    def on_step(self, step: int, logs: dict[str, float]) -> None:
        """Does the callback's work after `step` steps; `logs` are that step's terms."""


class FiniteLosses(StepCallback):
    """Raises TrainingError with the step and the first term that is NaN or infinite."""

    def __init__(self, run_dir: Path):
        super().__init__()
        self.run_dir = run_dir

    def on_step(self, step, logs):
        bad = next((name for name, value in logs.items() if not math.isfinite(value)), None)
        if bad:
            raise TrainingError(
                f"Step {step}: {bad} is {logs[bad]}; {last_good(self.run_dir)} "
                "Lower the learning rates or the weight of that term."
            )


class Progress(StepCallback):
    """A progress bar on stderr with images/s and time left, and a line per logged step in log.txt."""

    def __init__(self, *, run_dir: Path, batch_size: int, first_step: int, last_step: int):
        super().__init__()
        self.log_path, self.batch_size = run_dir / "log.txt", batch_size
        interval = 1.0 if sys.stderr.isatty() else 30.0  # in a log file a line now and then is enough
        self.bar = tqdm(total=last_step, initial=first_step, unit="step", dynamic_ncols=True, mininterval=interval)
        self.last_step = last_step

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.since, self.since_step = time.perf_counter(), self.step

    def on_step(self, step, logs):
        self.bar.update(1)
        rate = self.batch_size * (step - self.since_step) / (time.perf_counter() - self.since)
        totals = {name.split("/")[1]: f"{value:.4g}" for name, value in logs.items() if name.endswith("total")}
        self.bar.set_postfix({"images/s": f"{rate:.1f}", **totals}, refresh=False)
        if step <= _LOG_ALL_UNTIL or step % _LOG_EVERY == 0 or step == self.last_step:
            text = " ".join(f"{name}={value:.7g}" for name, value in sorted(logs.items()))
            self.write(f"step {step} {text} images/s={rate:.2f}")

    def write(self, line: str) -> None:
        """Adds a line with the time of day to log.txt."""
        with writing(self.log_path), self.log_path.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def close(self) -> None:
        """Ends the bar."""
        self.bar.close()


class Scalars(StepCallback):
    """TensorBoard scalars of every logged term, in run_dir/scalars; without TensorBoard a sentence on stderr."""

    def __init__(self, run_dir: Path):
        super().__init__()
        self.folder, self.writer = run_dir / "scalars", None
        try:
            # TensorBoard's own writer and not tf.summary: the same under every Keras backend.
            with needs_extra("tensorboard", "tensorboard", None, "Writing scalars"):
                import tensorboard.compat

                if not on_tensorflow():
                    # TensorBoard's own switch: it then leaves TensorFlow unloaded where that is installed.
                    sys.modules.setdefault("tensorboard.compat.notf", tensorboard.compat)
                from tensorboard.summary import Writer
        except MissingExtraError as error:
            print(f"animegan-train: no scalars in this run. {error}", file=sys.stderr)
        else:
            self.writer = Writer(str(self.folder))

    def on_step(self, step, logs):
        if self.writer is None:
            return
        if step <= _LOG_ALL_UNTIL or step % _LOG_EVERY == 0:
            with writing(self.folder):
                for name, value in logs.items():
                    self.writer.add_scalar(name, np.float32(value), step)

    def on_train_end(self, logs=None):
        if self.writer is not None:
            with writing(self.folder):
                self.writer.flush()


class SampleGrids(StepCallback):
    """run_dir/samples/step-XXXXXXXX.jpg: fixed photos in the upper row, the generator's pictures in rows below.

    photos: [N, S, S, 3] float32 in [-1, 1]. conditions: one row for each: a batch of one that says the style of a
    conditional generator (see Generator.condition), {} for others; a style picture in it is shown in front of its row.
    """

    def __init__(self, run_dir: Path, photos: np.ndarray, conditions: list[dict], *, every: int, last_step: int):
        super().__init__()
        self.folder, self.photos, self.conditions = run_dir / "samples", photos, conditions
        self.every, self.last_step = every, last_step

    def on_step(self, step, logs):
        if step % self.every == 0 or step == self.last_step:
            self.write(step)

    def write(self, step: int) -> None:
        """Writes the grid of `step`."""
        rows = [list(self.photos), *(self._row(condition) for condition in self.conditions)]
        if any("anime" in condition for condition in self.conditions):
            fronts = [np.ones_like(self.photos[0]), *(self._front(condition) for condition in self.conditions)]
            rows = [[front, *row] for front, row in zip(fronts, rows, strict=True)]
        grid = np.concatenate([np.concatenate(row, axis=1) for row in rows])
        images.write_picture(self.folder / f"step-{step:08d}.jpg", images.Picture(images.to_uint8(grid)))

    def _row(self, condition: dict) -> list[np.ndarray]:
        network = self.model.best_generator
        further = network.condition(condition)
        return [ops.convert_to_numpy(network(photo[None], **further, training=False))[0] for photo in self.photos]

    def _front(self, condition: dict) -> np.ndarray:
        picture = Image.fromarray(images.to_uint8(condition["anime"][0]))
        return images.to_float(np.asarray(picture.resize(self.photos.shape[1:3])))


class Checkpoints(StepCallback):
    """A checkpoint every `every` steps and at the last one; see checkpoints.py."""

    def __init__(self, run_dir: Path, *, every: int, keep: int, last_step: int):
        super().__init__()
        self.run_dir, self.every, self.keep, self.last_step = run_dir, every, keep, last_step

    def on_step(self, step, logs):
        if step % self.every == 0 or step == self.last_step or self.model.stop_training:
            save_checkpoint(self.model, self.run_dir, self.keep)


class StopOnSignal(StepCallback):
    """Ends training after the current step on Ctrl-C or SIGTERM; a second signal ends the program at once.

    A context: the signals are taken inside it only. Put it before Checkpoints, which then saves the step it ends at.
    `requested` says whether it happened.
    """

    def __init__(self):
        super().__init__()
        self.requested = False
        self._before: dict = {}

    def __enter__(self) -> StopOnSignal:
        try:
            self._before = {s: signal.signal(s, self._request) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:
            self._before = {}  # not the main thread: signals are not ours to take
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_step(self, step, logs):
        if self.requested:
            self.model.stop_training = True

    def _request(self, number, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Watched(StepCallback):
    """Stops training as a signal does when watch(steps finished in all) returns True. Put it before Checkpoints."""

    def __init__(self, watch: Callable[[int], bool], stop: StopOnSignal):
        super().__init__()
        self.watch, self.stop = watch, stop

    def on_step(self, step, logs):
        if self.watch(step):
            self.stop.requested = True
            self.model.stop_training = True
