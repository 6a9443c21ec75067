"""AnimeGANv3's training: a generator of two tails, two discriminators, and targets computed on the CPU in each step.

Source: Liu, Chen et al. 2024, A Novel Double-Tail Generative Adversarial Network for Fast Photo Animation, and the
published code (AnimeGANv3_hayao.py, AnimeGANv3_shinkai.py). The support tail learns content, style and flat regions;
its picture without noise and small gradients is what the main tail learns to paint directly.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from animegan_tf import images
from animegan_tf.config import TrainConfig
from animegan_tf.data.regions import revision_target, superpixels
from animegan_tf.errors import ConfigError
from animegan_tf.losses import pixel
from animegan_tf.losses.adversarial import ADVERSARIAL_LOSSES
from animegan_tf.models.guided_filter import guided_filter
from animegan_tf.training.gradients import on_cpu, on_tensorflow
from animegan_tf.training.objective import Objective, Terms, as_list, mean_over
from animegan_tf.training.trainer import Trainer, check_variables, named

_RADIUS, _EPSILON = 2, 0.01
_SUPPORT_TERMS = ("likeness", "color", "chroma", "tone", "tv", "flat", "cel", "grid")


class DoubleTailObjective(Objective):
    """The terms of both tails; those of the support tail are `Objective`'s own.

    Of the picture terms, colour, chroma, tone, total variation, flatness, cel and grid weigh on the support tail,
    as published; edges, landmarks and a teacher's picture on the main tail, which is what is exported.
    """

    def __init__(self, config: TrainConfig, features: Callable, style_grams: dict[str, np.ndarray] | None = None):
        super().__init__(config, features, style_grams)
        # The soft labels belong to the grey pair alone.
        hard = "lsgan" if config.adversarial_loss == "lsgan_soft" else config.adversarial_loss
        self.main_adversarial = ADVERSARIAL_LOSSES[hard]
        for compute in self._cpu_functions().values():
            compute(np.zeros((8, 8, 3), np.uint8))  # a missing package is one sentence here, and a stack in a step

    def cpu_targets(self, raw, support) -> dict[str, Any]:
        """Returns 'regions', the superpixels of `support`, and 'revision', what the main tail is to paint.

        Constants, [B, H, W, 3] float32 in [-1, 1].

        Args:
          raw, support: the support tail before and after the guided filter, [B, H, W, 3] float32 in [-1, 1].
        """
        sources = {"regions": support, "revision": raw}
        return {name: _each_on_cpu(compute, sources[name]) for name, compute in self._cpu_functions().items()}

    def _cpu_functions(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Returns those of the two targets that have a weight: name -> uint8 [H, W, 3] -> the target."""
        config = self.config
        functions: dict[str, Callable] = {}
        if config.region_weight:
            functions["regions"] = lambda image: superpixels(image, min_size=config.region_min_size)
        if config.revision_weight or config.revision_feature_weight or config.main_discriminator_weight:
            functions["revision"] = lambda image: revision_target(image, denoise=config.denoise)
        return functions

    def constants(self, batch, cpu: dict[str, Any], pretraining: bool) -> dict[str, Any]:
        """Returns `targets` and, under 'photo_regions', 'regions' and 'revision', the features of those pictures."""
        config = self.config
        found = self.targets(batch, pretraining)
        if pretraining:
            return found
        wanted = {
            "photo_regions": batch["photo_regions"] if config.photo_region_weight else None,
            "regions": cpu["regions"] if config.region_weight else None,
            "revision": cpu["revision"] if config.revision_feature_weight else None,
        }
        return found | self._features_of(wanted)

    def pretrain_pair(self, support, main, constants) -> Terms:
        """Returns the terms of pre-training alone, of one tail or of both."""
        terms = self.pretrain_terms(support, constants)
        if self.config.pretrain_tails == "both":
            terms |= {f"main_{name}": value for name, value in self.pretrain_terms(main, constants).items()}
        return terms

    def pair_terms(self, batch, support, main, cpu, constants, logits, main_logits) -> Terms:
        """Returns the generator's weighted terms for both tails; logits are None without an adversarial term."""
        found = self._features_of({"support": support, "gray": pixel.gray(support), "main": main})
        terms = self._support_terms(batch, support, found, constants, logits)
        return terms | self._main_terms(batch, main, found["main"], cpu, constants, main_logits)

    def _support_terms(self, batch, support, found, constants, logits) -> Terms:
        config, own = self.config, found["support"]
        style = found["gray"] if config.gram_picture == "gray" else own
        terms = self._feature_terms(own, style, constants, logits)
        for name, weight in (("regions", config.region_weight), ("photo_regions", config.photo_region_weight)):
            if weight:
                terms[name] = weight * self._layer_loss(constants[name], own)
        return terms | self._pixel_terms(batch, support, _SUPPORT_TERMS)

    def _main_terms(self, batch, main, own, cpu, constants, logits) -> Terms:
        config, terms = self.config, {}
        if logits is not None:
            weight = config.main_adversarial_weight
            terms["main_adversarial"] = weight * mean_over(logits, self.main_adversarial.generator)
        if config.revision_weight:
            terms["revision"] = config.revision_weight * pixel.l1(cpu["revision"], main)
        if config.revision_feature_weight:
            terms["revision_feature"] = config.revision_feature_weight * self._layer_loss(constants["revision"], own)
        if config.feature_weight:
            terms["feature"] = config.feature_weight * self._layer_loss(constants["teacher"], own)
        if config.tv_weight:
            terms["main_tv"] = config.tv_weight * pixel.total_variation(main)
        return terms | self._pixel_terms(batch, main, ("edge", "landmark", "output"))

    def support_pictures(self, batch, support) -> tuple[list[str], Any]:
        """Returns the kinds with a weight and the grey pictures of the support's discriminator, see the base class."""
        kinds, pictures = self.discriminator_pictures(batch | {"anime": batch["anime_gray"]}, pixel.gray(support))
        return kinds, pictures

    def main_discriminator_terms(self, revision, main) -> Terms:
        """Returns the main discriminator's weighted terms for its logits on both."""
        weight = self.config.main_discriminator_weight
        real, fake = self.main_adversarial.real, self.main_adversarial.fake
        return {"revision": weight * mean_over(revision, real), "main": weight * mean_over(main, fake)}


class DoubleTailTrainer(Trainer):
    """Trains AnimeGANv3 under `learn`; see `Trainer` for batches and arguments.

    Differs: the published loop updates G, computes G(photo) again and updates both discriminators on that; here both
    learn from the same pictures, and G is computed once.

    Args:
      main_discriminator: judges the main tail, in colour; `discriminator` the support tail, in grey. None without an
        adversarial term of the main tail.
    """

    def __init__(self, *, generator, objective, discriminator=None, averaged=None, main_discriminator=None):
        if objective.config.discriminator_steps > 1 or objective.config.discriminator_gray_weight:
            raise ConfigError(
                "A double-tail generator needs --discriminator_steps=1 and --discriminator_gray_weight=0: "
                "its discriminators learn once a step, and grey pictures are the real ones."
            )
        if discriminator is not None and discriminator.inputs_shape:
            raise ConfigError(
                f"--discriminator={objective.config.discriminator} needs a {next(iter(discriminator.inputs_shape))}, "
                "which a double-tail generator has not."
            )
        for name in ("discriminator_crop", "feature_crop"):
            if getattr(objective.config, name):
                raise ConfigError(f"--{name} does not go with a double-tail generator: set it to 0.")
        super().__init__(generator=generator, objective=objective, discriminator=discriminator, averaged=averaged)
        self.strengths["d_main"] = self._strength("d_main")
        self.main_discriminator = main_discriminator
        check_variables(generator, main_discriminator)
        check_variables(discriminator, main_discriminator)

    def compile(self, *, optimizer: Callable[[str], keras.optimizers.Optimizer], jit_compile: bool = False):
        """Makes one optimizer per network. Raises ConfigError for TensorFlow's XLA, which cannot leave its graph."""
        if jit_compile and on_tensorflow():
            raise ConfigError("--xla does not go with a double-tail generator: its targets are computed outside XLA.")
        super().compile(optimizer=optimizer)
        self.main_optimizer = None
        if self.main_discriminator is not None:
            self.main_optimizer = optimizer("discriminator")
            self.main_optimizer.build(self.main_discriminator.trainable_variables)

    @property
    def parts(self) -> dict:
        return super().parts | {"main_discriminator": self.main_discriminator, "main_optimizer": self.main_optimizer}

    def train_step(self, data):
        """Returns the weighted terms of one step as `Trainer.train_step`; 'loss/d_main/...' are the second D's.

        1. Both tails, the support tail filtered by itself.
        2. On the CPU, without gradient: superpixels of the support, revision target of its raw picture.
        3. Update the generator, then both discriminators on the same pictures.
        """
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        batch = self._at_size(batch)
        if self._generator_learns:
            loss = functools.partial(self._pair_loss, batch)
            support, main, cpu, logs = self._descend(self.generator, self.generator_optimizer, loss)
            self._update_average()
        else:
            support, main, cpu = self._paint(batch)
            logs = {}
        if self._uses_discriminator:
            logs |= self._update_both(batch, ops.stop_gradient(support), ops.stop_gradient(main), cpu)
        self.step.assign_add(1)
        return logs | {"stylized/mean": ops.mean(main)}

    def _paint(self, batch):
        """Returns the support tail, the main tail, and the constants that the CPU makes of the first."""
        raw, main = self.generator.tails(batch["photo"], training=self._norms_learn)
        support = self_guided(raw)
        if self.phase.stage == "pretrain":
            return support, main, {}
        return support, main, self.objective.cpu_targets(ops.stop_gradient(raw), ops.stop_gradient(support))

    def _pair_loss(self, batch):
        support, main, cpu = self._paint(batch)
        constants = self.objective.constants(batch, cpu, self.phase.stage == "pretrain")
        terms = self._pair_terms(batch, support, main, cpu, constants)
        total = sum(terms.values())
        painted = (support, main, cpu, named("g", terms, total))
        return self.generator_optimizer.scale_loss(total), (painted, None)

    def _pair_terms(self, batch, support, main, cpu, constants):
        if self.phase.stage == "pretrain":
            return self.objective.pretrain_pair(support, main, constants)
        logits = main_logits = None
        if self.discriminator is not None:
            logits = self.discriminator(pixel.gray(support), training=False)
        if self.main_discriminator is not None:
            main_logits = self.main_discriminator(main, training=False)
        return self.objective.pair_terms(batch, support, main, cpu, constants, logits, main_logits)

    def _update_both(self, batch, support, main, cpu):
        kinds, pictures = self.objective.support_pictures(batch, support)

        def support_terms(penalty):
            logits = self.discriminator(pictures, training=True)
            found = self.objective.discriminator_terms(kinds, logits)
            return found | penalty(batch["anime_gray"], pixel.gray(support), {})

        def main_terms(penalty):
            both = self.main_discriminator(ops.concatenate([cpu["revision"], main], axis=0), training=True)
            found = self.objective.main_discriminator_terms(*halves(both))
            return found | penalty(cpu["revision"], main, {})

        logs = self._learn(self.discriminator, self.discriminator_optimizer, "d", support_terms)
        if self.main_discriminator is not None:
            logs |= self._learn(self.main_discriminator, self.main_optimizer, "d_main", main_terms)
        return logs


def self_guided(raw):
    """Returns the support tail's picture smoothed by itself: [B, H, W, 3] float in [-1, 1] -> float32, the same."""
    unit = ops.clip((raw + 1.0) / 2.0, 0.0, 1.0)
    return ops.clip(guided_filter(unit, unit, _RADIUS, _EPSILON) * 2.0 - 1.0, -1.0, 1.0)


def _each_on_cpu(compute: Callable[[np.ndarray], np.ndarray], pictures):
    """Returns compute(uint8 [H, W, 3]) of each picture of [B, H, W, 3] float in [-1, 1], the same as float32."""

    def each(batch):
        results = [compute(images.to_uint8(picture)) for picture in batch]
        return np.stack([r if r.dtype == np.float32 else images.to_float(r) for r in results])

    return on_cpu(each, ops.cast(pictures, "float32"))


def halves(logits) -> tuple:
    """Returns the logits of the first and of the second half of a batch, maps in lists as the discriminator gave."""
    first, second = zip(*(ops.split(part, 2, axis=0) for part in as_list(logits)), strict=True)
    return list(first), list(second)
