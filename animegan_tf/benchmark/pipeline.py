"""Section pipeline: how many samples a second the input of a training run makes, by itself."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator

from tqdm import tqdm

from animegan_tf.benchmark.options import BenchmarkOptions
from animegan_tf.benchmark.pictures import HEIGHT, WIDTH, made_folder
from animegan_tf.benchmark.runtimes import Save
from animegan_tf.benchmark.timing import summary
from animegan_tf.config import TrainConfig
from animegan_tf.recipe_files import list_recipes, read_flagfile

DECODED, KEPT = "decoded for each sample", "decoded once, kept in memory"
# Batches that were made ahead while nobody asked for them, a dozen where tf.data tunes itself: they are not timed.
_AHEAD = 16
# Seconds between two looks at whether a pipeline is still at work, and the most that is waited for it.
_LOOK, _PATIENCE = 0.05, 30.0


@contextlib.contextmanager
def training_config(options: BenchmarkOptions) -> Iterator[tuple[TrainConfig, str]]:
    """Context with the recipe of the sections pipeline and training, its folders set, and what is in them."""
    with contextlib.ExitStack() as stack:
        photos, styles, said = options.photo_dir, options.style_dir, "given folders"
        if not photos or not styles:
            made = str(stack.enter_context(made_folder()))
            said = f"JPEG pictures of {WIDTH}x{HEIGHT} made for it"
            photos, styles = photos or made, styles or made
        recipe = read_flagfile(list_recipes()[options.recipe])
        yield (
            dataclasses.replace(
                recipe,
                photo_dir=photos,
                style_dir=styles,
                vgg19_weights=options.vgg19_weights,
                batch_size=options.batch_size or recipe.batch_size,
            ),
            said,
        )


def measure_pipeline(options: BenchmarkOptions, found: dict, save: Save) -> None:
    """Fills `found`: recipe, image_size, batch_size, pictures (which), and rows: how they are read, samples_per_s.

    A sample is a photo and a style picture in colour, in grey and in grey with smooth edges. Files are decoded for each
    sample in one pipeline; in the other one, as the recipe has it, decoded pictures stay in memory. They take turns.
    """
    from animegan_tf.data.pipeline import build_dataset, user_errors
    from animegan_tf.native import load_tensorflow
    from animegan_tf.training.build import samples_of

    load_tensorflow("The input pipeline")
    with contextlib.ExitStack() as stack:
        config, said = stack.enter_context(training_config(options))
        batches = {}
        for name, cache_mb in ((DECODED, 0), (KEPT, config.cache_mb)):
            samples = samples_of(dataclasses.replace(config, cache_mb=cache_mb))
            stack.enter_context(user_errors(samples))
            batches[name] = iter(build_dataset(samples, config.batch_size))
        rates: dict[str, list[float]] = {name: [] for name in batches}
        for number in tqdm(range(options.rounds + 1), desc="pipeline", unit=" rounds", leave=False, disable=None):
            for name, iterator in batches.items():
                _wait_until_idle()
                rate = _rate(iterator, options.batches, config.batch_size)
                rates[name] += [rate] if number else []
    found |= {"recipe": config.recipe, "image_size": config.image_size, "batch_size": config.batch_size}
    found["pictures"] = said
    found["rows"] = [{"files": name, "samples_per_s": summary(values)} for name, values in rates.items()]


def _rate(iterator: Iterator, batches: int, batch_size: int) -> float:
    """Returns the samples a second of the next `batches`, behind some that are not timed."""
    _take(iterator, _AHEAD)
    start = time.perf_counter()
    _take(iterator, batches)
    return batches * batch_size / (time.perf_counter() - start)


def _wait_until_idle() -> None:
    """Waits for the other pipeline to fill its buffers: what it makes ahead would be taken from this one's time."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(_LOOK)
        if time.process_time() - before < 0.1 * _LOOK:
            return


def _take(iterator: Iterator, count: int) -> None:
    for _ in itertools.islice(iterator, count):
        pass
