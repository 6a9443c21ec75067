"""Prunes a run: from its recipe and newest checkpoint to a run folder of the smaller network."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from animegan_tf import images
from animegan_tf.compression.distill import DistillConfig
from animegan_tf.compression.prune import IMPORTANCE, Size, choose, copy_kept, measure_responses, size_of
from animegan_tf.config import TrainConfig
from animegan_tf.errors import CheckpointError, ConfigError, DataError, ImageError
from animegan_tf.native import chosen_backend, load_tensorflow
from animegan_tf.options import check_bounds, option, parse_flags
from animegan_tf.training.run_folder import RECIPE_NAME, write_recipe

if TYPE_CHECKING:
    from animegan_tf.models.mobile import ResidualGenerator

_PHOTOS, _PHOTO_SIDE = 32, 256  # more photos hardly change which channels go


@dataclass(frozen=True, kw_only=True)
class PruneOptions:
    """Options of tools/prune.py; see options.option. Raises ConfigError for what cannot work."""

    run_dir: str = option("", "run folder of the trained network, which stays as it is", "prune")
    out: str = option("", "run folder to write", "prune")
    ratio: float = option(0.0, "share of the generator's parameters that goes, at least", "prune", low=0, high=0.99)
    threshold: float = option(
        0.0, "in place of --ratio: channels go whose share of their block's importance (L2 norm) is less", "prune",
        low=0, high=1,
    )  # fmt: skip
    importance: str = option(
        "response", "what a channel adds to pictures, or the size of its weights", "prune", choices=tuple(IMPORTANCE)
    )
    multiple: int = option(8, "channels go in groups of so many; int8 kernels like 8", "prune", low=1)
    lr_share: float = option(
        0.1, "training on starts at this share of the run's learning rates", "prune", low=0.001, high=1
    )
    photo_dir: str = option("", "photos that the channels answer to; empty: the run's own", "prune")

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("run_dir", "out"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is needed.")
        if bool(self.ratio) == bool(self.threshold):
            raise ConfigError("Give either --ratio or --threshold.")


@dataclass(frozen=True)
class Pruned:
    """The sizes before and after, and the program that trains on."""

    before: Size
    after: Size
    program: str


def prune_run(options: PruneOptions) -> Pruned:
    """Writes the run folder options.out: a smaller copy of a run's generator, ready to be trained on and exported.

    Both the generator and its average start from the run's exported generator, the discriminator and its optimizer
    stay, the generator's optimizer starts anew: its moments belong to a network that is no more. The step counter is
    0, and the recipe's schedule is the stage with the style alone.

    Raises:
      ConfigError: --run_dir is no run of a generator with inverted residuals, --out exists, Keras does not run on
        TensorFlow, or nothing or too much would go.
      CheckpointError: no usable checkpoint. DataError: the folder of photos holds none.
    """
    if chosen_backend() != "tensorflow":
        raise ConfigError(f"Pruning runs on TensorFlow, not on {chosen_backend()}: set KERAS_BACKEND=tensorflow.")
    out = Path(options.out)
    if out.exists():
        raise ConfigError(f"--out={out} exists: choose another folder.")
    config = _read_recipe(Path(options.run_dir))
    load_tensorflow("Pruning")
    from animegan_tf.models.mobile import ResidualGenerator
    from animegan_tf.training.checkpoints import read_newest

    generator = _build(config)
    if not isinstance(generator, ResidualGenerator):
        raise ConfigError(f"--run_dir={options.run_dir} is of {config.generator}: pruning is for fast and mobile.")
    folder, state = read_newest(Path(options.run_dir))
    _load(generator, state, folder)
    responses = measure_responses(generator, read_photos(Path(options.photo_dir or config.photo_dir)))
    kept = choose(
        generator,
        responses,
        ratio=options.ratio,
        threshold=options.threshold,
        importance=options.importance,
        multiple=options.multiple,
    )
    slim_config = _further_training(config, [len(channels) for channels in kept], options.lr_share)
    slim = _build(slim_config)
    copy_kept(generator, slim, kept, responses)
    _write_run(out, slim_config, slim, state, f"Pruned from {folder.absolute()}.")
    program = "python tools/distill.py" if isinstance(config, DistillConfig) else "animegan-train"
    return Pruned(size_of(generator), size_of(slim), program)


def read_photos(folder: Path) -> list[np.ndarray]:
    """Returns up to 32 photos from all over `folder`, uint8 RGB [H, W, 3], at most 256 pixels a side, the middle.

    Raises:
      DataError: there is none that can be read.
    """
    from animegan_tf.training.build import middle

    paths, photos = images.find_images(folder), []
    for place in np.linspace(0, len(paths) - 1, min(len(paths), _PHOTOS)).round().astype(int):
        with contextlib.suppress(ImageError):
            photos.append(middle(images.read_thumbnail(paths[place], _PHOTO_SIDE), _PHOTO_SIDE))
    if not photos:
        raise DataError(f"--photo_dir={folder} holds no photo that can be read; a few dozen are needed.")
    return photos


def _read_recipe(run_dir: Path) -> TrainConfig:
    path = run_dir / RECIPE_NAME
    if not path.is_file() and (run_dir / "manifest.json").is_file():
        raise ConfigError(f"--run_dir={run_dir} is an exported style: pruning needs the run folder it came from.")
    if not path.is_file():
        raise ConfigError(f"--run_dir={run_dir} is not a run folder: it has no {RECIPE_NAME}.")
    taught = "\n--teacher=" in path.read_text(encoding="utf-8")
    return parse_flags(DistillConfig if taught else TrainConfig, [f"--flagfile={path}"])


def _build(config: TrainConfig):
    import keras

    from animegan_tf.models import build_generator

    keras.mixed_precision.set_global_policy("float32")
    return build_generator(config.generator, config.generator_width, **config.network_settings)


def _load(generator: ResidualGenerator, state: dict[str, np.ndarray], folder: Path) -> None:
    part = "averaged" if "averaged/000" in state else "generator"
    values = [state.get(f"{part}/{place:03d}") for place in range(len(generator.variables))]
    if any(value is None or value.shape != v.shape for value, v in zip(values, generator.variables, strict=True)):
        raise CheckpointError(f"{folder} belongs to another network than its recipe's.")
    for variable, value in zip(generator.variables, values, strict=True):
        variable.assign(value)


def _further_training(config: TrainConfig, channels: Sequence[int], lr_share: float) -> TrainConfig:
    """Returns the recipe that goes on from the pruned network: the stage with the style, at lower learning rates.

    At the full rates the first steps undo more than the pruning did, and it takes the whole stage to learn it again.
    """
    epochs = max(1, config.epochs - config.pretrain_epochs - config.discriminator_pretrain_epochs)
    # To ten digits: 0.0006 * 0.1 is 5.9999999999999995e-05, which nobody wants to read in a recipe.
    generator_lr, discriminator_lr = (
        float(f"{rate * lr_share:.10g}") for rate in (config.generator_lr, config.discriminator_lr)
    )
    return replace(
        config,
        recipe=f"{config.recipe.removesuffix('_pruned')}_pruned",
        generator_lr=generator_lr,
        discriminator_lr=discriminator_lr,
        expanded=tuple(str(count) for count in channels),
        epochs=epochs,
        pretrain_epochs=0,
        discriminator_pretrain_epochs=0,
        frozen_norm_epochs=min(epochs, config.frozen_norm_epochs),
        progressive_start=0,
    )


def _write_run(
    out: Path, config: TrainConfig, generator: ResidualGenerator, state: dict[str, np.ndarray], origin: str
) -> None:
    from animegan_tf.training.checkpoints import write_checkpoint

    replaced = ("generator/", "averaged/", "generator_optimizer/")
    arrays = {name: value for name, value in state.items() if not name.startswith(replaced)}
    parts = {"generator": generator.variables, "generator_optimizer": _fresh_optimizer(config, generator)}
    if "averaged/000" in state:
        parts["averaged"] = generator.variables
    for part, variables in parts.items():
        arrays |= {f"{part}/{place:03d}": variable.numpy() for place, variable in enumerate(variables)}
    arrays["step"] = np.zeros_like(state["step"])
    with _removed_on_failure(out):
        write_checkpoint(arrays, generator, out)
        write_recipe(config, out, origin)


def _fresh_optimizer(config: TrainConfig, generator: ResidualGenerator) -> list:
    from animegan_tf.training.phases import build_optimizer, make_plan

    optimizer = build_optimizer(config, "generator", make_plan(config, 1), 0)
    optimizer.build(generator.trainable_variables)
    return optimizer.variables


@contextlib.contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
