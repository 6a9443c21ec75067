"""From a configuration to the objects of a run: samples, networks, objective, trainer."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.data.abstraction import abstract, smoothed
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.edges import to_gray
from animegan_tf.data.pipeline import PhotoMap, Samples, build_samples
from animegan_tf.data.sampling import class_of
from animegan_tf.errors import ConfigError, DataError, ImageError
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator
from animegan_tf.models.animeganv3 import AnimeGANv3Generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.training.double_tail import DoubleTailObjective, DoubleTailTrainer
from animegan_tf.training.objective import Objective, feature_names, mean_grams, stream_names
from animegan_tf.training.phases import Plan, build_optimizer
from animegan_tf.training.trainer import Trainer

_STYLE_PICTURES, _MIDDLE = 100, 256  # of a set that is to be met as a whole, and their side in px
_STYLES_SHOWN = 3


def samples_of(config: TrainConfig, teacher: PhotoMap | None = None) -> Samples:
    """Returns the samples of a run, with the streams that its networks and terms ask for.

    Raises:
      DataError: a folder is missing, empty or unusable. ConfigError: a term lacks what it needs.
    """
    networks = [GENERATORS.get(config.generator)] + [DISCRIMINATORS.get(config.discriminator)] * config.adversarial
    streams = [name for network in networks if network is not None for name in network.streams]
    extras = tuple(dict.fromkeys((*streams, *stream_names(config))))
    if "face" in extras and not config.landmark_dir:
        raise ConfigError("--landmark_weight needs --landmark_dir, made by tools/align_faces.py.")
    if config.palette_strength and "label" in extras:
        raise ConfigError("--palette_strength is for one style: with classes, set it to 0.")
    if "teacher" in extras and teacher is None:
        raise ConfigError("--output_weight and --feature_weight need a teacher: use tools/distill.py.")

    def augmentation(stream: str) -> Augmentation:
        low, high = getattr(config, f"{stream}_crop_min"), getattr(config, f"{stream}_crop_max")
        changes = {name: getattr(config, name) for name in ("flip", "brightness", "contrast", "rotation", "saturation")}
        return Augmentation(config.image_size, low, high, **changes)

    samples = build_samples(
        photo_dir=Path(config.photo_dir),
        style_dir=Path(config.style_dir),
        smooth_dir=_path(config.smooth_dir),
        photo_augmentation=augmentation("photo"),
        style_augmentation=augmentation("style"),
        seed=config.seed,
        cache_mb=config.cache_mb,
        classes=config.classes,
        style_sampling=config.style_sampling,
        style_weights=_path(config.style_weights),
        smooth_salt=config.smooth_salt,
        extras=extras,
        landmark_dir=_path(config.landmark_dir),
        teacher=teacher,
        abstraction=functools.partial(
            abstract,
            lines=config.abstraction_lines,
            passes=config.abstraction_passes,
            levels=config.abstraction_levels,
            strokes=config.abstraction_strokes,
            stroke_length=config.abstraction_stroke_length,
        ),
        photo_sampling=config.photo_sampling,
    )
    if "abstraction" in extras and config.palette_strength:
        recolored = config.content_picture == "recolored_abstraction"
        samples.match_palette(config.palette_strength, config.seed, first=recolored)
    return samples


def build_trainer(config: TrainConfig, samples: Samples, plan: Plan) -> Trainer:
    """Returns the compiled trainer of a run; its networks' weights come from the seed set before."""
    settings = config.network_settings
    generator = build_generator(config.generator, config.generator_width, **settings)
    double_tail = isinstance(generator, AnimeGANv3Generator)
    if config.double_tail_terms and not double_tail:
        names = "_weight and --".join(config.double_tail_terms)
        raise ConfigError(f"--{names}_weight are for a double-tail generator, and {config.generator} is none.")
    if config.border_weight and generator.receptive_radius is None:
        raise ConfigError(
            f"--border_weight is for a generator that sees only what is near; {config.generator} has statistics of the "
            "whole picture."
        )
    averaged = build_generator(config.generator, config.generator_width, **settings) if config.ema_decay else None
    features = build_vgg19(feature_names(config), config.vgg19_weights, config.feature_scale)
    grams = _style_grams(config, samples, features)
    discriminator = _discriminator(config) if config.adversarial else None
    trainer: Trainer
    if double_tail:
        trainer = DoubleTailTrainer(
            generator=generator,
            averaged=averaged,
            discriminator=discriminator,
            main_discriminator=_discriminator(config) if config.main_adversarial_weight else None,
            objective=DoubleTailObjective(config, features, grams),
        )
    else:
        objective = Objective(config, features, grams)
        trainer = Trainer(generator=generator, averaged=averaged, discriminator=discriminator, objective=objective)
    trainer.compile(optimizer=lambda side: build_optimizer(config, side, plan, trainer.step), jit_compile=config.xla)
    return trainer


def shown_conditions(samples: Samples, generator) -> list[dict[str, np.ndarray]]:
    """Returns the batches of one that a sample grid shows a row of: every class, some style pictures, or {} alone."""
    if "label" in generator.inputs_shape:
        return [{"label": row[None]} for row in np.eye(len(samples.classes), dtype=np.float32)]
    if generator.encodes_style:
        noise = np.zeros((1, *generator.inputs_shape["noise"]), np.float32)
        crops = [samples.style.sample(index)[0] for index in range(_STYLES_SHOWN)]
        return [{"anime": images.to_float(crop)[None], "noise": noise} for crop in crops]
    return [{}]


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _discriminator(config: TrainConfig):
    return build_discriminator(config.discriminator, config.discriminator_width, **config.network_settings)


def _style_grams(config: TrainConfig, samples: Samples, features) -> dict[str, np.ndarray] | None:
    """Returns layer -> [K, C, C] for a set's mean: of each class where the run has labels, else of the whole set."""
    if not config.gram_weight or config.gram_target == "batch":
        return None
    stream = samples.style.stream
    sets = [stream.files]
    if "label" in samples.extras:
        sets = [[file for file in stream.files if class_of(stream.folder, file) == name] for name in samples.classes]
    found = [
        mean_grams(features, config.style_layers, _middles(config, samples, files), centered=config.gram_centered)
        for files in sets
    ]
    return {layer: np.concatenate([grams[layer] for grams in found]) for layer in config.style_layers}


def _middles(config: TrainConfig, samples: Samples, files: list[Path]) -> Iterator[np.ndarray]:
    """Yields the middle of each style picture, [1, S, S, 3] float32 in [-1, 1]; of a large set, of some spread over it.

    At the size at which the smallest crop is cut, which should be the picture's own, without changes of colour.
    """
    stream, readable = samples.style.stream, False
    for file in files[:: max(1, len(files) // _STYLE_PICTURES)]:
        with contextlib.suppress(ImageError):
            picture = smoothed(middle(stream.read(file), _MIDDLE), config.gram_passes)
            readable = True
            yield images.to_float(to_gray(picture) if config.gram_picture == "gray" else picture)[None]
    if not readable:
        names = ", ".join(sorted({class_of(stream.folder, file) for file in files})) if samples.classes else "the set"
        raise DataError(f"--style_dir={config.style_dir}: no picture of {names} can be read.")


def middle(picture: np.ndarray, side: int) -> np.ndarray:
    """Returns the middle of [H, W, 3], a square of `side`, or of the short side where that is less."""
    side = min(side, *picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]
