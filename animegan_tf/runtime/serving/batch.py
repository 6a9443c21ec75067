"""Many picture files through a model server: several at a time, each on its own, with the times they took."""

from __future__ import annotations

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from animegan_tf.errors import AnimeganError, ImageError, UsageError
from animegan_tf.images import find_images, portable_bytes, read_picture, write_picture
from animegan_tf.runtime.names import results_among, styled_name
from animegan_tf.runtime.serving.client import ServingClient
from animegan_tf.runtime.stylizer import list_styles

_PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Job:
    """A picture to stylize and the file to write."""

    photo: Path
    target: Path


@dataclass
class Summary:
    """What a batch came to. latencies: seconds of each answered request, retries included; seconds: of the batch."""

    seconds: float = 0.0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    def text(self, retried: int = 0) -> str:
        """Returns one line: how many, how fast, and the percentiles of the time that a request took."""
        done = f"{len(self.latencies)} pictures, {self.failed} failed, {retried} requests sent again"
        if not self.latencies:
            return done
        rate = len(self.latencies) / max(self.seconds, 1e-9)
        times = np.percentile(np.asarray(self.latencies) * 1000, _PERCENTILES)
        latency = ", ".join(f"p{which} {value:.0f} ms" for which, value in zip(_PERCENTILES, times, strict=True))
        return f"{done}; {rate:.1f} pictures/s; a request took {latency}"


def plan(photos: Sequence[str], out: Path, name: str) -> list[Job]:
    """Returns the jobs for picture files and folders: out/<stem>_<name><suffix>, the folders of a folder kept.

    Results of an earlier run in a folder are left out.

    Raises:
      UsageError: a path does not exist, a folder holds no picture, or two pictures would be written to one file.
    """
    jobs: dict[Path, Job] = {}
    for path in map(Path, photos):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder.")
        found = find_images(path) if path.is_dir() else [path]
        if not found:
            raise UsageError(f"{path}: no pictures in this folder.")
        results = results_among(found, {name, *list_styles()})
        for photo in (photo for photo in found if photo not in results):
            below = photo.relative_to(path).parent if path.is_dir() else Path()
            target = out / below / styled_name(photo.name, name)
            first = jobs.setdefault(target, Job(photo, target)).photo
            if first != photo:
                raise UsageError(f"{photo} would be written to {target}, as {first} is.")
    return list(jobs.values())


def stylize_files(
    client: ServingClient,
    jobs: Sequence[Job],
    *,
    further: Mapping[str, np.ndarray] | None = None,
    concurrency: int = 4,
    pixels: bool = False,
    overwrite: bool = False,
    report: Callable[[Job, str], None],
) -> Summary:
    """Sends every picture of `jobs` and writes what comes back; one that fails costs the others nothing.

    Args:
      client: of the model.
      jobs: of `plan`.
      further: the model's further inputs by name, float32 [1, n] each.
      concurrency: requests under way at once.
      pixels: send decoded pixels to `serving_default`, and not files to `serve_bytes`.
      overwrite: whether existing files may be replaced.
      report: called in this thread for every job that is done, with a sentence where it failed, '' where it did not.
    """
    summary, start = Summary(), time.monotonic()
    executor = ThreadPoolExecutor(concurrency)
    try:
        waiting = iter(jobs)
        running: dict[Future, Job] = {}
        while True:
            # Few at a time, so that an interrupt waits for these alone, and a folder of any length takes no memory.
            for job in itertools.islice(waiting, 2 * concurrency - len(running)):
                running[executor.submit(_stylize_file, client, job, further or {}, pixels, overwrite)] = job
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _note(future, running.pop(future), summary, report)
    finally:
        executor.shutdown(cancel_futures=True)
    summary.seconds = time.monotonic() - start
    return summary


def _note(future: Future, job: Job, summary: Summary, report: Callable) -> None:
    try:
        summary.latencies.append(future.result())
    except AnimeganError as error:
        summary.failed += 1
        sentence = str(error)
        report(job, sentence if str(job.photo) in sentence else f"{job.photo}: {sentence[0].lower()}{sentence[1:]}")
    else:
        report(job, "")


def _stylize_file(
    client: ServingClient, job: Job, further: Mapping[str, np.ndarray], pixels: bool, overwrite: bool
) -> float:
    """Writes job.target and returns the seconds from sending the picture to its answer."""
    if os.path.lexists(job.target) and not overwrite:
        raise ImageError(f"{job.target} exists already; --overwrite replaces it.")
    picture = read_picture(job.photo)
    data = b"" if pixels else portable_bytes(picture, job.photo)
    start = time.monotonic()
    if pixels:
        styled = client.stylize_pixels(picture.pixels[None], further)[0]
        seconds = time.monotonic() - start
    else:
        answer = client.stylize_bytes(data, further)
        seconds = time.monotonic() - start
        styled = read_picture(answer).pixels
    if styled.shape != picture.pixels.shape:
        raise ImageError(f"{job.photo}: the server answered a picture of another size.")
    write_picture(job.target, dataclasses.replace(picture, pixels=styled))
    return seconds
