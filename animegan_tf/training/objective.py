"""From a configuration to the weighted, named terms that are minimised.

Every term is weighted where it is made, so that the reported terms add up to the total. A term of weight zero is not
computed and not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from keras import ops

from animegan_tf.config import TrainConfig
from animegan_tf.losses import perceptual, pixel
from animegan_tf.losses.adversarial import ADVERSARIAL_LOSSES

Terms = dict[str, Any]
_KINDS = ("anime", "stylized", "gray", "smooth")


def feature_names(config: TrainConfig) -> tuple[str, ...]:
    """Returns the VGG19 layers this configuration needs; empty when no term does."""
    content = (config.content_layer,) if config.content_weight else ()
    return tuple(dict.fromkeys(content + (config.style_layers if config.gram_weight else ())))


class Objective:
    """The terms of one configuration.

    Args:
      config: weights and kinds of all terms.
      features: image [B, H, W, 3] in [-1, 1] -> {layer: features} of `feature_names(config)`, see VGG19Features.
      style_grams: for gram_target=set: layer -> mean Gram matrix [1, C, C] float32, from `mean_grams`.
    """

    def __init__(self, config: TrainConfig, features: Callable, style_grams: dict[str, np.ndarray] | None = None):
        self.config, self.features, self.style_grams = config, features, style_grams
        self.adversarial = ADVERSARIAL_LOSSES[config.adversarial_loss]

    def targets(self, batch: dict[str, Any], pretraining: bool = False) -> dict[str, Any]:
        """Returns the constants of one step: the photo's content features and the style's Gram matrices.

        Call it outside the gradient tape. Photo and style picture pass through VGG19 as one batch where both are
        needed; pre-training needs the photo alone.
        """
        config, targets = self.config, {}
        style_key = "anime_gray" if config.gram_picture == "gray" else "anime"
        style = bool(config.gram_weight) and not pretraining
        own_style = style and config.gram_target == "batch"
        pictures = [batch["photo"]] * bool(config.content_weight) + [batch[style_key]] * own_style
        if pictures:
            found = self.features(ops.concatenate(pictures, axis=0))
            count = ops.shape(batch["photo"])[0]
            if config.content_weight:
                targets["content"] = found[config.content_layer][:count]
            if own_style:
                targets["grams"] = {name: perceptual.gram_matrix(found[name][-count:]) for name in config.style_layers}
        if style and not own_style:
            targets["grams"] = self.style_grams
        return targets

    def pretrain_terms(self, stylized, targets: dict[str, Any]) -> Terms:
        """Returns the content term alone, the generator's objective during pre-training."""
        return {"content": self._content(self.features(stylized), targets)}

    def generator_terms(self, photo, stylized, targets: dict[str, Any], logits) -> Terms:
        """Returns the generator's weighted terms.

        Args:
          photo, stylized: [B, H, W, 3] float in [-1, 1].
          targets: from `targets`.
          logits: the discriminator's, on `stylized`; None without a discriminator.
        """
        config, terms = self.config, {}
        found = self.features(stylized)
        if logits is not None:
            terms["adversarial"] = config.adversarial_weight * self.adversarial.generator(logits)
        if config.content_weight:
            terms["content"] = self._content(found, targets)
        if config.gram_weight:
            terms["gram"] = self._gram(found, targets)
        if config.color_weight:
            terms["color"] = config.color_weight * pixel.color(photo, stylized)
        if config.chroma_weight:
            terms["chroma"] = config.chroma_weight * pixel.chroma_contrast(photo, stylized)
        if config.tv_weight:
            terms["tv"] = config.tv_weight * pixel.total_variation(stylized)
        if config.flat_weight:
            terms["flat"] = config.flat_weight * pixel.flat_variation(photo, stylized)
        return terms

    def discriminator_pictures(self, batch: dict[str, Any], stylized) -> tuple[list[str], Any]:
        """Returns the kinds of pictures with a weight, and those pictures as one batch [K*B, H, W, 3] in that order."""
        sources = {"anime": "anime", "gray": "anime_gray", "smooth": "anime_smooth"}
        pictures = {kind: batch[key] for kind, key in sources.items()} | {"stylized": stylized}
        kinds = [kind for kind in _KINDS if getattr(self.config, f"discriminator_{kind}_weight")]
        return kinds, ops.concatenate([ops.cast(pictures[kind], "float32") for kind in kinds], axis=0)

    def discriminator_terms(self, kinds: list[str], logits) -> Terms:
        """Returns the discriminator's weighted terms; `logits` [K*B, h, w, 1] in the order of `kinds`.

        Source: AnimeGAN, eq. 9: anime is real; stylized, grey anime and edge-smoothed grey anime are fake.
        """
        terms = {}
        for kind, part in zip(kinds, ops.split(logits, len(kinds), axis=0), strict=True):
            loss = self.adversarial.real if kind == "anime" else self.adversarial.fake
            weight = self.config.discriminator_weight * getattr(self.config, f"discriminator_{kind}_weight")
            terms[kind] = weight * loss(part)
        return terms

    def _content(self, found, targets):
        loss = perceptual.CONTENT_LOSSES[self.config.content_loss]
        return self.config.content_weight * loss(targets["content"], found[self.config.content_layer])

    def _gram(self, found, targets):
        loss = perceptual.GRAM_LOSSES[self.config.gram_loss]
        names = self.config.style_layers
        total = sum(loss(targets["grams"][name], self._gram_matrix(found[name])) for name in names)
        return self.config.gram_weight / len(names) * total

    def _gram_matrix(self, features):
        gram = perceptual.gram_matrix(features)
        # One picture need not have the mean palette of a whole style set; the pictures together should.
        return ops.mean(gram, axis=0, keepdims=True) if self.config.gram_target == "set" else gram


def mean_grams(features: Callable, names: tuple[str, ...], pictures: Iterable[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns layer -> mean Gram matrix [1, C, C] float32 over batches of style pictures [B, H, W, 3] in [-1, 1]."""
    grams: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for batch in pictures:
        found = features(batch)
        for name in names:
            grams[name].append(ops.convert_to_numpy(perceptual.gram_matrix(found[name])).mean(0, keepdims=True))
    return {name: np.mean(parts, axis=0) for name, parts in grams.items()}
