"""The training step: a subclassed Keras model that owns both networks and updates D, then G."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from animegan_tf.losses import penalties
from animegan_tf.models import Generator, Network
from animegan_tf.training.objective import Objective
from animegan_tf.training.phases import Phase
from animegan_tf.training.progressive import at_size

_STRENGTH_DECAY = 0.9  # of the average that freezing looks at: about the last ten steps


class Trainer(keras.Model):
    """Trains a generator, and a discriminator where the objective has an adversarial term, under `fit`.

    Batches are dicts of photo, anime, anime_gray, anime_smooth: [B*K, S, S, 3] float32 in [-1, 1], and of what the
    networks and the objective ask for besides, with K = config.discriminator_steps; every discriminator update of a
    step gets pictures of its own, the generator the last B.

    Source: AnimeGANv2's train loop. Differs: G(photo) is computed once a step and serves D's update and G's.

    Args:
      generator, averaged: two networks of one architecture; `averaged` follows the first by exponential moving
        average and is None without it. Its decay is smaller during the first steps, so that early weights are
        forgotten.
      objective: the terms; its config says the rest.
      discriminator: None without an adversarial term.
    """

    def __init__(
        self,
        *,
        generator: Generator,
        objective: Objective,
        discriminator: Network | None = None,
        averaged: Generator | None = None,
    ):
        super().__init__(name="trainer")
        self.generator, self.averaged = generator, averaged
        self.discriminator: Any = discriminator
        self.objective, self.config = objective, objective.config
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        # Running average of each discriminator's loss; below 0 before there is one.
        self.strengths = {"d": self._strength("d")}
        self.phase = Phase("train", 0, 0)
        self.built = True
        check_variables(generator, discriminator)
        if averaged is not None:
            averaged.trainable = False
            averaged.set_weights(generator.get_weights())

    def compile(self, *, optimizer: Callable[[str], keras.optimizers.Optimizer], jit_compile: bool = False):
        """Makes one Keras optimizer per network by optimizer('generator') and optimizer('discriminator').

        `jit_compile` compiles the step with XLA.
        """
        self.generator_optimizer = optimizer("generator")
        super().compile(optimizer=self.generator_optimizer, jit_compile=jit_compile, auto_scale_loss=False)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer = None
        if self.discriminator is not None:
            self.discriminator_optimizer = optimizer("discriminator")
            self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    def set_phase(self, phase: Phase) -> None:
        """Chooses who learns and at which size; the step is traced anew."""
        self.phase = phase
        self.train_function = None

    @property
    def best_generator(self) -> Generator:
        """The network to sample from and export: the averaged one where there is one."""
        return self.averaged if self.averaged is not None else self.generator

    @property
    def parts(self) -> dict:
        """All that a checkpoint keeps besides `step` and `strengths`: name -> network, optimizer or None."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def train_step(self, data):
        """Returns {'loss/g/<term>': scalar, ..., 'loss/g/total', 'loss/d/...'} of one step, weighted,
        and 'stylized/mean', the mean of the generator's output.

        1. The batch at the size of the phase; all but its last chunk serve D alone.
        2. Constants: features of the photo, Gram matrices of the style (no gradient).
        3. Stylize the photos under the generator's tape.
        4. Update the discriminator on constants (not during pre-training or without one).
        5. Update the generator, then its average.
        """
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        *extra, batch = self._chunks(self._at_size(batch))
        logs = {}
        for number, chunk in enumerate(extra if self._uses_discriminator else ()):
            logs = self._update_discriminator(chunk, self._stylize(chunk, self._generator_learns), number)
        if self._generator_learns:
            stylized, more = self._update_generator(batch)
            logs |= more
        else:
            stylized = self._stylize(batch, training=False)
            logs = self._update_discriminator(batch, stylized, len(extra))
        self.step.assign_add(1)
        # A network that outputs NaN can have a finite loss, because ReLU may turn NaN into 0: the mean shows it.
        return logs | {"stylized/mean": ops.mean(stylized)}

    @property
    def _uses_discriminator(self) -> bool:
        return self.discriminator is not None and self.phase.stage != "pretrain"

    @property
    def _generator_learns(self) -> bool:
        # Its batch norm learns with it: in the other stage it runs as at inference.
        return self.phase.stage != "discriminator"

    def _strength(self, side: str):
        start = keras.initializers.Constant(-1.0)
        return self.add_weight(name=f"strength_{side}", shape=(), initializer=start, trainable=False)

    def _at_size(self, batch):
        phase, alpha = self.phase, None
        if phase.first < phase.fade_first + phase.fade_steps:
            alpha = ops.cast(self.step - phase.fade_first, "float32") / phase.fade_steps
            alpha = ops.minimum(alpha, 1.0)
        return at_size(batch, phase.shrink, alpha)

    def _chunks(self, batch):
        count = self.config.discriminator_steps
        if count == 1:
            return [batch]
        parts = {key: ops.split(value, count, axis=0) for key, value in batch.items()}
        return [{key: value[k] for key, value in parts.items()} for k in range(count)]

    def _stylize(self, batch, training: bool):
        further = self.generator.condition(batch, training=training)
        return self.generator(batch["photo"], **further, training=training)

    def _update_generator(self, batch):
        logs = {}
        targets = self.objective.targets(batch, self.phase.stage == "pretrain")
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in self.generator.trainable_variables])
            stylized = self._stylize(batch, training=True)
            if self._uses_discriminator:
                with tape.stop_recording():
                    logs = self._update_discriminator(batch, stylized, self.config.discriminator_steps - 1)
            terms = self._generator_terms(batch, stylized, targets)
            total = sum(terms.values())
            scaled = self.generator_optimizer.scale_loss(total)
        self._apply(self.generator_optimizer, tape, scaled, self.generator.trainable_variables)
        self._update_average()
        return stylized, logs | named("g", terms, total)

    def _generator_terms(self, batch, stylized, targets):
        if self.phase.stage == "pretrain":
            return self.objective.pretrain_terms(stylized, targets)
        logits = None
        if self._uses_discriminator:
            logits = self.discriminator(stylized, **self._discriminator_inputs(batch), training=False)
        return self.objective.generator_terms(batch, stylized, targets, logits)

    def _discriminator_inputs(self, batch, repeats: int = 1):
        inputs = {name: batch[name] for name in self.discriminator.inputs_shape}
        return {name: ops.concatenate([value] * repeats, axis=0) for name, value in inputs.items()}

    def _update_discriminator(self, batch, stylized, number: int = 0):
        """Updates the discriminator on one chunk, the step's `number`-th; returns its logs."""
        stylized = ops.stop_gradient(stylized)
        kinds, pictures = self.objective.discriminator_pictures(batch, stylized)
        inputs = self._discriminator_inputs(batch, len(kinds))

        def terms(penalty):
            logits = self.discriminator(pictures, **inputs, training=True)
            found = self.objective.discriminator_terms(kinds, logits)
            return found | penalty(batch["anime"], stylized, self._discriminator_inputs(batch), number)

        return self._learn(self.discriminator, self.discriminator_optimizer, "d", terms)

    def _learn(self, network, optimizer, side: str, terms_of: Callable):
        """Updates a discriminator on terms_of(penalty), unless it is too strong; returns its logs.

        penalty(real, fake, further inputs, number of the chunk) gives the gradient penalty as a dict of terms, empty
        where there is none.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in network.trainable_variables])
            terms = terms_of(functools.partial(self._penalty, network))
            total = sum(terms.values())
            scaled = optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, [v.value for v in network.trainable_variables])
        if not self.config.freeze_threshold:
            optimizer.apply(gradients, network.trainable_variables)
            return named(side, terms, total)
        frozen = self._too_strong(side, total - terms.get("penalty", 0.0))
        ops.cond(frozen, lambda: None, lambda: optimizer.apply(gradients, network.trainable_variables))
        return named(side, terms, total) | {f"frozen/{side}": ops.cast(frozen, "float32")}

    def _penalty(self, network, real, fake, inputs, number: int = 0):
        config = self.config
        if config.gradient_penalty == "none":
            return {}

        def gradient_of(pictures):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(pictures)
                score = ops.sum(penalties.critic_score(network(pictures, **inputs, training=False)))
            return tape.gradient(score, pictures)

        # Drawn from the seed and the update's number, so that a resumed run draws as an uninterrupted one.
        update = ops.cast(self.step, "int32") * config.discriminator_steps + number
        seed = ops.stack([ops.cast(config.seed, "int32"), update])
        mix = tf.random.stateless_uniform((ops.shape(real)[0], 1, 1, 1), seed)
        penalty = penalties.GRADIENT_PENALTIES[config.gradient_penalty]
        value = penalty(gradient_of, real=ops.cast(real, "float32"), fake=ops.cast(fake, "float32"), mix=mix)
        return {"penalty": config.penalty_weight * value}

    def _too_strong(self, side: str, loss):
        """Returns whether a discriminator's running average loss is below the threshold, after adding `loss`."""
        loss, before = ops.cast(loss, "float32"), self.strengths[side]
        average = ops.where(before < 0.0, loss, _STRENGTH_DECAY * before + (1 - _STRENGTH_DECAY) * loss)
        before.assign(average)
        return average < self.config.freeze_threshold

    def _apply(self, optimizer, tape, loss, variables):
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    def _update_average(self):
        if self.averaged is None:
            return
        step = ops.cast(self.step, "float32")
        decay = ops.minimum(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.averaged.variables, self.generator.variables, strict=True):
            average.assign(decay * average + (1.0 - decay) * value)


def check_variables(generator: Network | None, discriminator: Network | None) -> None:
    """Raises ValueError unless every variable belongs to exactly one of the two networks."""
    if generator is None or discriminator is None:
        return
    shared = {id(v) for v in generator.variables} & {id(v) for v in discriminator.variables}
    if shared:
        raise ValueError(f"{len(shared)} variables belong to both the generator and the discriminator.")


def named(side: str, terms, total):
    """Returns the terms under the names they are reported by, and their total."""
    return {f"loss/{side}/{name}": value for name, value in terms.items()} | {f"loss/{side}/total": total}
