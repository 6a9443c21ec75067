"""Training against the clock: measures its speed, tells of previews, and stops in time."""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError, TrainingError
from animegan_tf.studio.options import AUTO
from animegan_tf.studio.plan import PROBE_STEPS, Speed, probe_config, speed_of, stages
from animegan_tf.studio.state import Clock, in_words

_LEAST_PROBED, _LONG_PROBE = 3, 3.0
_KEPT_EVERY = 10.0


class Watch:
    """Called after every step of a training: prints new previews, keeps the time, and returns True when it is over.

    Args:
      run_dir: folder of the run. clock: of the command. reserve: seconds to leave on it for what follows.
      keep: called every few seconds, to write down the time used.
    """

    def __init__(self, run_dir: Path, clock: Clock, reserve: float, keep: Callable[[], None]):
        self.run_dir, self.clock, self.reserve, self.keep = run_dir, clock, reserve, keep
        self.time_is_over = False
        self._kept = clock.spent
        self._seen: list[tuple[int, float]] = []

    def __call__(self, step: int) -> bool:
        """Returns whether to stop after `step` steps."""
        self._seen = [*self._seen[:1], (step, self.clock.spent)]
        preview = self.run_dir / "samples" / f"step-{step:08d}.jpg"
        if preview.exists():
            tqdm.write(f"preview, {in_words(self.clock.left)} left: {preview}")
        if self.clock.spent - self._kept >= _KEPT_EVERY:
            self._kept = self.clock.spent
            self.keep()
        self.time_is_over = self.clock.left <= self.reserve
        return self.time_is_over

    @property
    def pace(self) -> float | None:
        """Seconds a step took, from the first that was seen to the last; None where fewer than two were."""
        if len(self._seen) < 2:
            return None
        (first, since), (last, until) = self._seen
        return (until - since) / (last - first)


def measure(config: TrainConfig, work: Path, seconds: float) -> Speed:
    """Returns the speed of `config`, from a short run of it that is thrown away.

    Args:
      config: as it will be trained, but for its schedule.
      work: folder to run it in.
      seconds: how long to time the last stage: some steps at least, or a single one where it takes that much longer.

    Raises:
      KeyboardInterrupt: a signal came. Else as training.run.train.
    """
    from animegan_tf.training.run import train

    folder, began, times = work / "probe", time.monotonic(), list[float]()
    first = PROBE_STEPS * (len(stages(config)) - 1)

    def enough() -> bool:
        timed = times[-1] - times[first] if len(times) > first + 1 else 0.0
        return timed >= seconds * (1.0 if len(times) > first + _LEAST_PROBED else _LONG_PROBE)

    def watch(step: int) -> bool:
        times.append(time.monotonic() - began)
        return enough()

    shutil.rmtree(folder, ignore_errors=True)
    try:
        probe = probe_config(config, folder)
        # Its bar would count steps of a schedule that nobody will see.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            outcome = train(probe, watch=watch)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if outcome.stopped and not enough():
        raise KeyboardInterrupt
    return speed_of(times, config)


def check_generator(config: TrainConfig) -> None:
    """Raises ConfigError where the recipe's generator takes more than a photo: its style is not one but many."""
    from animegan_tf.training.backend import load_backend

    load_backend()  # quietly, which Keras would not
    from animegan_tf.training.build import GENERATORS

    network = GENERATORS.get(config.generator)
    if network is not None and network.streams:
        raise ConfigError(
            f"--recipe={config.recipe} makes a generator that takes {', '.join(network.streams)} besides the photo: "
            "train it with animegan-train."
        )


def train_in_time(
    config: TrainConfig, watch: Watch, replan: Callable[[float | None], TrainConfig] | None = None
) -> int:
    """Trains `config` in watch.run_dir, from its newest checkpoint where it has one; returns the steps done in all.

    Args:
      config: the recipe, its schedule planned.
      watch: says when to stop.
      replan: called once, before the last stage, with the seconds that a step took so far, None where none was seen;
        returns the config to go on with. There, and only there, an end that moves does no harm: the learning rate
        has not begun to fall.

    Raises:
      KeyboardInterrupt: a signal came, and everything is kept. TrainingError: the time was over at once.
      Else as training.run.train.
    """
    before = config.steps_per_epoch * sum(stages(config)[:-1])
    if replan and before and _newest_step(watch.run_dir) <= before:
        steps = _train_on(replace(config, max_steps=before), watch)
        if steps < before:
            return steps
        config = replan(watch.pace)
    return _train_on(config, watch)


def _train_on(config: TrainConfig, watch: Watch) -> int:
    from animegan_tf.training.run import train

    newest = _newest_step(watch.run_dir)
    if watch.clock.left <= watch.reserve:
        if not newest:
            raise TrainingError("The time was over before the training began: it needs more --minutes.")
        return newest
    if not newest:  # ended before its first checkpoint
        shutil.rmtree(watch.run_dir, ignore_errors=True)
    outcome = train(replace(config, run_dir=str(watch.run_dir), resume=newest > 0), watch=watch)
    if outcome.stopped and not watch.time_is_over:
        raise KeyboardInterrupt
    return outcome.step


def _newest_step(run_dir: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in (run_dir / "checkpoints").glob("step-*[0-9]")]
    return max(steps, default=0)


def choose_precision(wanted: str) -> str:
    """Returns `wanted`; for 'auto' mixed_bfloat16 where a GPU or the CPU computes in bfloat16, and else float32."""
    if wanted != AUTO:
        return wanted
    return "mixed_bfloat16" if _has_gpu() or _cpu_has_bfloat16() else "float32"


def _has_gpu() -> bool:
    from animegan_tf.training.backend import describe_device, load_backend

    load_backend()
    return "GPU" in describe_device()


def _cpu_has_bfloat16() -> bool:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return any(flag in text for flag in ("avx512_bf16", "amx_bf16"))
