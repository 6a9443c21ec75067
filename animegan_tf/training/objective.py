"""From a configuration to the weighted, named terms that are minimised.

Every term is weighted where it is made, so that the reported terms add up to the total. A term of weight zero is not
computed and not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from animegan_tf.config import TrainConfig
from animegan_tf.errors import ConfigError
from animegan_tf.losses import perceptual, pixel
from animegan_tf.losses.adversarial import ADVERSARIAL_LOSSES

Terms = dict[str, Any]
_KINDS = ("anime", "stylized", "gray", "smooth")
_PIXEL_TERMS = ("likeness", "color", "chroma", "tone", "tv", "flat", "cel", "grid", "edge", "landmark", "output")


def feature_names(config: TrainConfig) -> tuple[str, ...]:
    """Returns the VGG19 layers this configuration needs; empty when no term does."""
    weights = (config.content_weight, config.feature_weight, config.photo_region_weight, config.region_weight)
    names = (config.content_layer,) * any((*weights, config.revision_feature_weight))
    names += config.perceptual_layers * bool(config.perceptual_weight)
    return tuple(dict.fromkeys(names + config.style_layers * bool(config.gram_weight)))


def stream_names(config: TrainConfig) -> tuple[str, ...]:
    """Returns what the terms need of a batch besides the pictures that every batch holds."""
    wanted = {
        "face": config.landmark_weight,
        "teacher": config.output_weight or config.feature_weight,
        "abstraction": config.content_picture != "photo",
        "photo_regions": config.photo_region_weight,
    }
    return tuple(name for name, weight in wanted.items() if weight)


class Objective:
    """The terms of one configuration.

    Batches are those of data/pipeline.py: streams by name.

    Args:
      config: weights and kinds of all terms.
      features: image [B, H, W, 3] in [-1, 1] -> {layer: features} of `feature_names(config)`, see VGG19Features.
      style_grams: of a set: layer -> mean Gram matrix of each class [K, C, C] float32, from `mean_grams`.
    """

    def __init__(self, config: TrainConfig, features: Callable, style_grams: dict[str, np.ndarray] | None = None):
        self.config, self.features, self.style_grams = config, features, style_grams
        self.adversarial = ADVERSARIAL_LOSSES[config.adversarial_loss]
        if config.gram_memory and self._has_classes:
            raise ConfigError("--gram_memory is for one style: with classes, set it to 0.")
        # Zeros before the first step with a style term.
        grams = style_grams if config.gram_memory and style_grams else {}
        self._memory = {
            name: keras.Variable(np.zeros(gram.shape, "float32"), trainable=False, name=f"memory_{name}")
            for name, gram in grams.items()
        }

    @property
    def variables(self) -> list:
        """Keras variables of its own that a step changes by `assign`: running means. Checkpoints keep them."""
        return list(self._memory.values())

    @property
    def fixed_variables(self) -> list:
        """The feature extractor's variables, which no step changes."""
        return list(getattr(self.features, "variables", ()))

    def targets(self, batch: dict[str, Any], pretraining: bool = False) -> dict[str, Any]:
        """Returns the constants of one step: features of photo and teacher, and the style's Gram matrices.

        Call it outside the gradient tape. All pictures pass through VGG19 as one batch; pre-training needs the photo
        alone. 'photo' and 'teacher': {layer: features}; 'grams': {layer: [B, C, C], or [1, C, C] for a whole set}.
        """
        config = self.config
        if pretraining and config.pretrain_loss == "pixels":
            return {"kept": self._kept_picture(batch)}
        style = bool(config.gram_weight) and not pretraining
        wanted = {
            "photo": self._kept_picture(batch) if config.content_weight or config.perceptual_weight else None,
            "teacher": batch["teacher"] if config.feature_weight and not pretraining else None,
            "style": self._style_picture(batch) if style and config.gram_target == "batch" else None,
        }
        found = self._features_of(wanted)
        if style:
            own = found.pop("style", None)
            found["grams"] = self._grams(own) if own else self._set_grams(batch)
            if self._has_classes:
                found["label"] = ops.cast(batch["label"], "float32")
        return found

    def pretrain_terms(self, stylized, targets: dict[str, Any]) -> Terms:
        """Returns the generator's only term during pre-training: content, or the likeness of the pixels."""
        if self.config.pretrain_loss == "pixels":
            return {"likeness": pixel.likeness(targets["kept"], stylized)}
        return {"content": self._content(self.features(self._seen(stylized)), targets)}

    def generator_terms(self, batch: dict[str, Any], stylized, targets: dict[str, Any], logits) -> Terms:
        """Returns the generator's weighted terms.

        Args:
          batch: the streams.
          stylized: [B, H, W, 3] float in [-1, 1].
          targets: from `targets`.
          logits: the discriminator's on `stylized`, one map or a list; None without a discriminator.
        """
        found = self.features(self._seen(stylized))
        terms = self._feature_terms(found, found, targets, logits)
        if self.config.feature_weight:
            terms["feature"] = self.config.feature_weight * self._layer_loss(targets["teacher"], found)
        return terms | self._pixel_terms(batch, stylized)

    def discriminator_pictures(self, batch: dict[str, Any], stylized) -> tuple[list[str], Any]:
        """Returns the kinds of pictures with a weight, and those pictures as one batch [K*B, h, w, 3] in that order.

        They are `judged_part`s.
        """
        sources = {"anime": "anime", "gray": "anime_gray", "smooth": "anime_smooth"}
        pictures = {kind: batch[key] for kind, key in sources.items()} | {"stylized": stylized}
        kinds = [kind for kind in _KINDS if getattr(self.config, f"discriminator_{kind}_weight")]
        parts = [ops.cast(self.judged_part(pictures[kind]), "float32") for kind in kinds]
        return kinds, ops.concatenate(parts, axis=0)

    def judged_part(self, pictures):
        """Returns the middle of each picture that the discriminator sees: [B, H, W, 3] -> [B, h, w, 3].

        Training crops lie anywhere, so their middles do too; and a patch discriminator judges by small patches anyway.
        """
        return middle_of(pictures, self.config.discriminator_crop)

    def discriminator_terms(self, kinds: list[str], logits) -> Terms:
        """Returns the discriminator's weighted terms; `logits` [K*B, h, w, 1], or a list, in the order of `kinds`.

        Source: AnimeGAN, eq. 9: anime is real; stylized, grey anime and edge-smoothed grey anime are fake.
        """
        maps = [ops.split(part, len(kinds), axis=0) for part in as_list(logits)]
        terms = {}
        for position, kind in enumerate(kinds):
            loss = self.adversarial.real if kind == "anime" else self.adversarial.fake
            weight = self.config.discriminator_weight * getattr(self.config, f"discriminator_{kind}_weight")
            terms[kind] = weight * mean_over([part[position] for part in maps], loss)
        return terms

    def _feature_terms(self, found, style_found, targets, logits) -> Terms:
        """Returns the terms on logits and on features; `style_found`: of the picture whose style counts."""
        config, terms = self.config, {}
        if logits is not None:
            terms["adversarial"] = config.adversarial_weight * mean_over(logits, self.adversarial.generator)
        if config.content_weight:
            terms["content"] = self._content(found, targets)
        if config.perceptual_weight:
            terms["perceptual"] = self._perceptual(found, targets)
        if config.gram_weight:
            terms["gram"] = self._gram(style_found, targets)
        return terms

    def _pixel_terms(self, batch, stylized, names: tuple[str, ...] = _PIXEL_TERMS) -> Terms:
        config, photo = self.config, batch["photo"]
        kept = self._kept_picture(batch)
        losses = {
            "likeness": lambda: pixel.likeness(kept, stylized),
            "color": lambda: pixel.COLOR_LOSSES[config.color_loss](photo, stylized),
            "chroma": lambda: pixel.chroma_contrast(kept, stylized),
            "tone": lambda: pixel.tone_contrast(kept, stylized),
            "tv": lambda: pixel.total_variation(stylized),
            "flat": lambda: pixel.flat_variation(kept, stylized),
            "cel": lambda: pixel.cel(stylized),
            "grid": lambda: pixel.grid(kept, stylized),
            "edge": lambda: pixel.edge(photo, stylized),
            "landmark": lambda: pixel.landmark(photo, stylized, batch["face"]),
            "output": lambda: pixel.l1(batch["teacher"], stylized),
        }
        weights = {name: getattr(config, f"{name}_weight") for name in names}
        return {name: weight * losses[name]() for name, weight in weights.items() if weight}

    def _seen(self, pictures):
        """Returns the middle that VGG19 sees; it takes most of a step, and training crops lie anywhere as it is."""
        return middle_of(pictures, self.config.feature_crop)

    def _kept_picture(self, batch):
        return batch["photo" if self.config.content_picture == "photo" else "abstraction"]

    def _style_picture(self, batch):
        return batch["anime_gray" if self.config.gram_picture == "gray" else "anime"]

    def _features_of(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Returns name -> {layer: features} of all that are not None, in one pass."""
        pictures = {name: picture for name, picture in wanted.items() if picture is not None}
        if not pictures:
            return {}
        found = self.features(ops.concatenate([ops.cast(self._seen(p), "float32") for p in pictures.values()], axis=0))
        parts = {layer: ops.split(values, len(pictures), axis=0) for layer, values in found.items()}
        return {name: {layer: part[k] for layer, part in parts.items()} for k, name in enumerate(pictures)}

    def _layer_loss(self, target, found):
        name = self.config.content_layer
        return perceptual.CONTENT_LOSSES[self.config.content_loss](target[name], found[name])

    def _content(self, found, targets):
        return self.config.content_weight * self._layer_loss(targets["photo"], found)

    def _perceptual(self, found, targets):
        names = self.config.perceptual_layers
        return self.config.perceptual_weight * sum(perceptual.l1(targets["photo"][name], found[name]) for name in names)

    def _gram(self, found, targets):
        config = self.config
        loss, grams = perceptual.GRAM_LOSSES[config.gram_loss], self._grams(found)
        if config.gram_target == "set":
            grams = {name: self._together(gram, targets) for name, gram in grams.items()}
        if self._memory:
            grams = {name: self._remembered(name, gram) for name, gram in grams.items()}
        weights = zip(config.style_layers, config.style_layer_weights, strict=True)
        return config.gram_weight * sum(weight * loss(targets["grams"][name], grams[name]) for name, weight in weights)

    def _together(self, grams, targets):
        """Returns the mean [1, C, C] over the batch; with labels [B, C, C], over the pictures of the same class.

        One picture need not have the mean palette of a whole style set; the pictures together should.
        """
        if not self._has_classes:
            return ops.mean(grams, axis=0, keepdims=True)
        alike = ops.matmul(targets["label"], ops.transpose(targets["label"]))
        return ops.einsum("ab,bcd->acd", alike / ops.sum(alike, axis=1, keepdims=True), grams)

    def _remembered(self, name: str, gram):
        """Returns the running mean of `gram` over the steps, with the gradient of `gram` itself.

        A batch need not have the mean palette of a whole style set; many batches together should. The set's mean is
        what a style is judged by, and a single batch is far from it even when it is cut from the style itself.
        """
        memory, decay = self._memory[name], self.config.gram_memory
        before = ops.where(ops.any(memory != 0.0), memory.value, gram)
        mean = ops.stop_gradient(decay * before + (1.0 - decay) * gram)
        memory.assign(mean)
        return mean + gram - ops.stop_gradient(gram)

    def _grams(self, found):
        centered = self.config.gram_centered
        return {name: perceptual.gram_matrix(found[name], centered=centered) for name in self.config.style_layers}

    @property
    def _has_classes(self) -> bool:
        return any(len(grams) > 1 for grams in (self.style_grams or {}).values())

    def _set_grams(self, batch):
        if not self._has_classes:
            return self.style_grams
        return {name: ops.einsum("bk,kcd->bcd", batch["label"], grams) for name, grams in self.style_grams.items()}


def middle_of(pictures, side: int):
    """Returns the middle of square pictures, [B, S, S, 3] -> [B, s, s, 3], s at most `side`; 0: all of it."""
    if not side or side >= pictures.shape[1]:
        return pictures  # a slice of all of it would be an operation, and change the last digits of what follows
    first = (pictures.shape[1] - side) // 2
    return pictures[:, first : first + side, first : first + side]


def as_list(logits) -> list:
    """Returns the maps of a discriminator of one scale or of several."""
    return list(logits) if isinstance(logits, list | tuple) else [logits]


def mean_over(logits, loss: Callable):
    """Returns loss(map), averaged over the maps of `logits`."""
    maps = as_list(logits)
    return sum(loss(part) for part in maps) / len(maps)


def mean_grams(
    features: Callable, names: tuple[str, ...], pictures: Iterable[np.ndarray], *, centered: bool = False
) -> dict[str, np.ndarray]:
    """Returns layer -> mean Gram matrix [1, C, C] float32 over batches of style pictures [B, H, W, 3] in [-1, 1]."""
    grams: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in pictures:
        found = features(batch)
        for name in names:
            gram = perceptual.gram_matrix(found[name], centered=centered)
            grams[name].append(ops.convert_to_numpy(gram))
    return {name: np.concatenate(parts).mean(0, keepdims=True) for name, parts in grams.items()}
