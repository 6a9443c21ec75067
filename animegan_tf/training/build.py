"""From a configuration to the objects of a run: samples, networks, objective, trainer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.data.augment import Augmentation
from animegan_tf.data.edges import to_gray
from animegan_tf.data.pipeline import Samples, Teacher, build_samples
from animegan_tf.data.sampling import class_of
from animegan_tf.errors import ConfigError, DataError, ImageError
from animegan_tf.models import DISCRIMINATORS, GENERATORS, build_discriminator, build_generator
from animegan_tf.models.animeganv3 import AnimeGANv3Generator
from animegan_tf.models.vgg19 import build_vgg19
from animegan_tf.training.double_tail import DoubleTailObjective, DoubleTailTrainer
from animegan_tf.training.objective import Objective, feature_names, mean_grams, stream_names
from animegan_tf.training.phases import Plan, build_optimizer
from animegan_tf.training.trainer import Trainer

_STYLE_CROPS, _STYLE_BATCH = 96, 4
_STYLES_SHOWN = 3


def samples_of(config: TrainConfig, teacher: Teacher | None = None) -> Samples:
    """Returns the samples of a run, with the streams that its networks and terms ask for.

    Raises:
      DataError: a folder is missing, empty or unusable. ConfigError: a term lacks what it needs.
    """
    networks = [GENERATORS.get(config.generator)] + [DISCRIMINATORS.get(config.discriminator)] * config.adversarial
    streams = [name for network in networks if network is not None for name in network.streams]
    extras = tuple(dict.fromkeys((*streams, *stream_names(config))))
    if "face" in extras and not config.landmark_dir:
        raise ConfigError("--landmark_weight needs --landmark_dir, made by tools/align_faces.py.")
    if "teacher" in extras and teacher is None:
        raise ConfigError("--output_weight and --feature_weight need a teacher: use tools/distill.py.")

    def augmentation(stream: str) -> Augmentation:
        low, high = getattr(config, f"{stream}_crop_min"), getattr(config, f"{stream}_crop_max")
        changes = {name: getattr(config, name) for name in ("flip", "brightness", "contrast", "rotation", "saturation")}
        return Augmentation(config.image_size, low, high, **changes)

    return build_samples(
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
    )


def build_trainer(config: TrainConfig, samples: Samples, plan: Plan) -> Trainer:
    """Returns the compiled trainer of a run; its networks' weights come from the seed set before."""
    settings = config.network_settings
    generator = build_generator(config.generator, config.generator_width, **settings)
    double_tail = isinstance(generator, AnimeGANv3Generator)
    if config.double_tail_terms and not double_tail:
        names = "_weight and --".join(config.double_tail_terms)
        raise ConfigError(f"--{names}_weight are for a double-tail generator, and {config.generator} is none.")
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
    """Returns layer -> [K, C, C] for gram_target=set: of each class where the run has labels, else of the whole set."""
    if not config.gram_weight or config.gram_target != "set":
        return None
    if "label" in samples.extras:
        sets = [_class_crops(config, samples, name) for name in samples.classes]
    else:
        sets = [[samples.style.sample(index)[_position(config)] for index in range(_STYLE_CROPS)]]
    found = [
        mean_grams(features, config.style_layers, _batches(crops), centered=config.gram_centered) for crops in sets
    ]
    return {layer: np.concatenate([grams[layer] for grams in found]) for layer in config.style_layers}


def _class_crops(config: TrainConfig, samples: Samples, name: str) -> list[np.ndarray]:
    """Returns crops of one class, its pictures in turn: in the order of training a rare class might not come."""
    stream, crops = samples.style.stream, []
    files = [file for file in stream.files if class_of(stream.folder, file) == name]
    for index in range(_STYLE_CROPS):
        with contextlib.suppress(ImageError):
            crop = stream.augmentation(stream.read(files[index % len(files)]), stream.rng(index))
            crops.append(to_gray(crop) if config.gram_picture == "gray" else crop)
    if not crops:
        raise DataError(f"--style_dir={config.style_dir}: no picture of the class {name!r} can be read.")
    return crops


def _position(config: TrainConfig) -> int:
    return 1 if config.gram_picture == "gray" else 0


def _batches(crops: list[np.ndarray]) -> Iterator[np.ndarray]:
    for first in range(0, len(crops), _STYLE_BATCH):
        yield images.to_float(np.stack(crops[first : first + _STYLE_BATCH]))
