"""The training step: a subclassed Keras model that owns both networks and updates D, then G."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from animegan_tf.losses import penalties
from animegan_tf.models import Generator, Network
from animegan_tf.models.bounds import leaking
from animegan_tf.training import border, gradients
from animegan_tf.training.objective import Objective
from animegan_tf.training.phases import Phase
from animegan_tf.training.progressive import at_size

_STRENGTH_DECAY = 0.9  # of the average that freezing looks at: about the last ten steps
_DRAWS = 4099  # of a penalty's mix, before they come again; a prime, so that no batch size shortens the round


class Trainer(keras.Model):
    """Trains a generator, and a discriminator where the objective has an adversarial term, under `learn`.

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
        self.step = self.add_weight(name="step", shape=(), dtype="int", initializer="zeros", trainable=False)
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

        `jit_compile` compiles the step with XLA, which JAX does in any case.
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

    def learn(self, batches: Iterable, steps: int, callbacks: list) -> None:
        """Trains `steps` steps on `batches`, an endless tf.data.Dataset or iterable, by Keras's `fit` or as it does."""
        if not gradients.on_tensorflow():
            gradients.fit_under_jax(self, batches, steps, callbacks)
            return
        # Keras wants tuples from a plain iterable.
        data = _untuned(batches) if hasattr(batches, "element_spec") else ((batch,) for batch in batches)
        self.fit(data, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)

    @property
    def best_generator(self) -> Generator:
        """The network to sample from and export: the averaged one where there is one."""
        return self.averaged if self.averaged is not None else self.generator

    @property
    def parts(self) -> dict:
        """Who owns what a step changes, besides `step` and `strengths`: name -> owner of `variables`, or None."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "averaged": self.averaged,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
            "objective": self.objective,
        }

    @property
    def state(self) -> dict[str, Any]:
        """All that a step changes and a checkpoint keeps: name -> variable; names stay while the architecture does."""
        parts = {
            f"{part}/{position:03d}": variable
            for part, owner in self.parts.items()
            if owner is not None
            for position, variable in enumerate(owner.variables)
        }
        strengths = {f"strength/{side}": variable for side, variable in self.strengths.items()}
        return {"step": self.step, **strengths, **parts}

    def train_step(self, data):
        """Returns {'loss/g/<term>': scalar, ..., 'loss/g/total', 'loss/d/...'} of one step, weighted,
        and 'stylized/mean', the mean of the generator's output.

        1. The batch at the size of the phase; all but its last chunk serve D alone.
        2. Constants: features of the photo, Gram matrices of the style (no gradient).
        3. Stylize the photos, in the function that the generator's gradients are taken of.
        4. Update the discriminator on constants (not during pre-training or without one).
        5. Update the generator, then its average.
        """
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        *extra, batch = self._chunks(self._at_size(batch))
        logs = {}
        for number, chunk in enumerate(extra if self._uses_discriminator else ()):
            logs = self._update_discriminator(chunk, self._stylize(chunk, self._norms_learn), number)
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
        return self.phase.stage != "discriminator"

    @property
    def _norms_learn(self) -> bool:
        # Where the generator does not learn, its batch norm runs as at inference.
        return self._generator_learns and not self.phase.norms_frozen

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
        targets = self.objective.targets(batch, self.phase.stage == "pretrain")

        def loss():
            with leaking():
                stylized, logs = self._stylize(batch, self._norms_learn), {}
            if self._uses_discriminator:
                logs = self._update_discriminator(batch, stylized, self.config.discriminator_steps - 1)
            terms = self._generator_terms(batch, stylized, targets)
            total = sum(terms.values())
            scaled = self.generator_optimizer.scale_loss(total)
            return scaled, ((stylized, logs | named("g", terms, total)), None)

        stylized, logs = self._descend(self.generator, self.generator_optimizer, loss)
        self._update_average()
        return stylized, logs

    def _descend(self, network, optimizer, loss: Callable):
        """Updates `network` by loss() -> (scaled loss, (more, unless)); not where `unless` is true; returns `more`."""
        variables = network.trainable_variables
        _, (more, unless), found = gradients.value_and_gradients(loss, variables, list(self.state.values()))
        gradients.apply_gradients(optimizer, found, variables, unless)
        return more

    def _generator_terms(self, batch, stylized, targets):
        if self.phase.stage == "pretrain":
            return self.objective.pretrain_terms(stylized, targets)
        logits = None
        if self._uses_discriminator:
            seen = self.objective.judged_part(stylized)
            logits = self.discriminator(seen, **self._discriminator_inputs(batch), training=False)
        return self.objective.generator_terms(batch, stylized, targets, logits) | self._border_term(batch, stylized)

    def _border_term(self, batch, stylized):
        if not self.config.border_weight:
            return {}
        pictures = border.cut_borders(batch["photo"], self._draws(3))
        # Norms as in use: they are not to learn that every fourth picture is of one colour.
        found = self._stylize({**batch, "photo": pictures}, training=False)
        return {"border": self.config.border_weight * border.border_difference(found, stylized)}

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
            real, fake = (self.objective.judged_part(each) for each in (batch["anime"], stylized))
            return found | penalty(real, fake, self._discriminator_inputs(batch), number)

        return self._learn(self.discriminator, self.discriminator_optimizer, "d", terms)

    def _learn(self, network, optimizer, side: str, terms_of: Callable):
        """Updates a discriminator on terms_of(penalty), unless it is too strong; returns its logs.

        penalty(real, fake, further inputs, number of the chunk) gives the gradient penalty as a dict of terms, empty
        where there is none.
        """

        def loss():
            terms = terms_of(functools.partial(self._penalty, network))
            total = sum(terms.values())
            logs, frozen = named(side, terms, total), None
            if self.config.freeze_threshold:
                frozen = self._too_strong(side, total - terms.get("penalty", 0.0))
                logs[f"frozen/{side}"] = ops.cast(frozen, "float32")
            return optimizer.scale_loss(total), (logs, frozen)

        return self._descend(network, optimizer, loss)

    def _penalty(self, network, real, fake, inputs, number: int = 0):
        config = self.config
        if config.gradient_penalty == "none":
            return {}

        def score(pictures):
            return ops.sum(penalties.critic_score(network(pictures, **inputs, training=False)))

        penalty = penalties.GRADIENT_PENALTIES[config.gradient_penalty]
        value = penalty(
            functools.partial(gradients.gradient_at, score),
            real=ops.cast(real, "float32"),
            fake=ops.cast(fake, "float32"),
            mix=self._draws(ops.shape(real)[0], number),
        )
        return {"penalty": config.penalty_weight * value}

    def _draws(self, count, number: int = 0):
        """Returns uniform draws [count, 1, 1, 1] for the `number`-th chunk of this step.

        From a table made of the seed, by the update's number: the same under every backend, and in a resumed run.
        """
        table = np.random.default_rng(self.config.seed).random(_DRAWS, np.float32)
        update = (ops.cast(self.step, "int32") % _DRAWS) * self.config.discriminator_steps + number
        places = (update % _DRAWS * count + ops.arange(count, dtype="int32")) % _DRAWS
        return ops.reshape(ops.take(table, places), (-1, 1, 1, 1))

    def _too_strong(self, side: str, loss):
        """Returns whether a discriminator's running average loss is below the threshold, after adding `loss`."""
        loss, before = ops.cast(loss, "float32"), self.strengths[side]
        average = ops.where(before < 0.0, loss, _STRENGTH_DECAY * before + (1 - _STRENGTH_DECAY) * loss)
        before.assign(average)
        return average < self.config.freeze_threshold

    def _update_average(self):
        if self.averaged is None:
            return
        step = ops.cast(self.step, "float32")
        decay = ops.minimum(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        for average, value in zip(self.averaged.variables, self.generator.variables, strict=True):
            average.assign(decay * average + (1.0 - decay) * value)


def _untuned(dataset):
    """Returns a tf.data.Dataset whose parallel calls are not tuned while it runs.

    The thread that tunes looks again after 10 ms, 20 ms, 40 ms ..., and the end of `fit` may wait for its next look: a
    step of 27 s took 41.
    """
    options = type(dataset.options())()  # those of a dataset cannot be changed, and are merged with these
    options.autotune.enabled = False
    return dataset.with_options(options)


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
