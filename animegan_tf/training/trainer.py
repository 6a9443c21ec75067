"""The training step: a subclassed Keras model that owns both networks and updates D, then G."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops

from animegan_tf.models import Generator, Network
from animegan_tf.training.objective import Objective


class Trainer(keras.Model):
    """Trains a generator, and a discriminator where the objective has an adversarial term, under `fit`.

    Batches are dicts of photo, anime, anime_gray, anime_smooth: [B*K, H, W, 3] float32 in [-1, 1] with K =
    `discriminator_steps`; every discriminator update of a step gets pictures of its own, the generator the last B.

    Source: AnimeGANv2's train loop. Differs: G(photo) is computed once a step and serves D's update and G's.

    Args:
      generator, averaged: two networks of one architecture; `averaged` follows the first by exponential moving
        average and is None without it.
      discriminator: None without an adversarial term.
      objective: the terms.
      discriminator_steps: K, discriminator updates per generator update.
      ema_decay: decay of `averaged`; smaller during the first steps, so that early weights are forgotten.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        objective: Objective,
        discriminator: Network | None = None,
        averaged: Generator | None = None,
        discriminator_steps: int = 1,
        ema_decay: float = 0.0,
    ):
        super().__init__(name="trainer")
        self.generator, self.discriminator, self.averaged = generator, discriminator, averaged
        self.objective, self.discriminator_steps, self.ema_decay = objective, discriminator_steps, ema_decay
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.pretraining = False
        self.built = True
        check_variables(generator, discriminator)
        if averaged is not None:
            averaged.trainable = False
            averaged.set_weights(generator.get_weights())

    def compile(self, *, generator_optimizer, discriminator_optimizer=None, jit_compile: bool = False):
        """Sets one Keras optimizer per network; `jit_compile` compiles the step with XLA."""
        super().compile(optimizer=generator_optimizer, jit_compile=jit_compile, auto_scale_loss=False)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        generator_optimizer.build(self.generator.trainable_variables)
        if self.discriminator is not None:
            discriminator_optimizer.build(self.discriminator.trainable_variables)

    def set_pretraining(self, pretraining: bool) -> None:
        """Chooses the content-only step or the full one; the step is traced anew."""
        self.pretraining = pretraining
        self.train_function = None

    @property
    def best_generator(self) -> Generator:
        """The network to sample from and export: the averaged one where there is one."""
        return self.averaged if self.averaged is not None else self.generator

    def train_step(self, data):
        """Returns {'loss/g/<term>': scalar, ..., 'loss/g/total', 'loss/d/...'} of one step, weighted,
        and 'stylized/mean', the mean of the generator's output.

        1. Constants: content features of the photo, Gram matrices of the style (no gradient).
        2. Stylize the photos under the generator's tape.
        3. Update the discriminator on constants (not during pre-training or without one).
        4. Update the generator, then its average.
        """
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        *extra, batch = self._chunks(batch)
        logs = {}
        for chunk in extra if self._uses_discriminator else ():
            logs = self._update_discriminator(chunk, self.generator(chunk["photo"], training=True))
        targets = self.objective.targets(batch, self.pretraining)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in self.generator.trainable_variables])
            stylized = self.generator(batch["photo"], training=True)
            if self._uses_discriminator:
                with tape.stop_recording():
                    logs = self._update_discriminator(batch, stylized)
            terms = self._generator_terms(batch["photo"], stylized, targets)
            total = sum(terms.values())
            scaled = self.generator_optimizer.scale_loss(total)
        self._apply(self.generator_optimizer, tape, scaled, self.generator.trainable_variables)
        self._update_average()
        self.step.assign_add(1)
        # A network that outputs NaN can have a finite loss, because ReLU may turn NaN into 0: the mean shows it.
        return logs | _named("g", terms, total) | {"stylized/mean": ops.mean(stylized)}

    @property
    def _uses_discriminator(self) -> bool:
        return self.discriminator is not None and not self.pretraining

    def _chunks(self, batch):
        if self.discriminator_steps == 1:
            return [batch]
        parts = {key: ops.split(value, self.discriminator_steps, axis=0) for key, value in batch.items()}
        return [{key: value[k] for key, value in parts.items()} for k in range(self.discriminator_steps)]

    def _generator_terms(self, photo, stylized, targets):
        if self.pretraining:
            return self.objective.pretrain_terms(stylized, targets)
        logits = self.discriminator(stylized, training=False) if self._uses_discriminator else None
        return self.objective.generator_terms(photo, stylized, targets, logits)

    def _update_discriminator(self, batch, stylized):
        kinds, pictures = self.objective.discriminator_pictures(batch, ops.stop_gradient(stylized))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in self.discriminator.trainable_variables])
            terms = self.objective.discriminator_terms(kinds, self.discriminator(pictures, training=True))
            total = sum(terms.values())
            scaled = self.discriminator_optimizer.scale_loss(total)
        self._apply(self.discriminator_optimizer, tape, scaled, self.discriminator.trainable_variables)
        return _named("d", terms, total)

    def _apply(self, optimizer, tape, loss, variables):
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    def _update_average(self):
        if self.averaged is None:
            return
        step = ops.cast(self.step, "float32")
        decay = ops.minimum(self.ema_decay, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.averaged.variables, self.generator.variables, strict=True):
            average.assign(decay * average + (1.0 - decay) * value)


def check_variables(generator: Network, discriminator: Network | None) -> None:
    """Raises ValueError unless every variable belongs to exactly one of the two networks."""
    if discriminator is None:
        return
    shared = {id(v) for v in generator.variables} & {id(v) for v in discriminator.variables}
    if shared:
        raise ValueError(f"{len(shared)} variables belong to both the generator and the discriminator.")


def _named(side: str, terms, total):
    return {f"loss/{side}/{name}": value for name, value in terms.items()} | {f"loss/{side}/total": total}
