"""The networks that look at pictures: VGG19 for style and content, InceptionV3 or VGG19 for FID and KID."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from animegan_tf import images
from animegan_tf.errors import ConfigError
from animegan_tf.evaluation.metrics import STYLE_LAYERS, centre
from animegan_tf.native import chosen_backend, load_tensorflow

FEATURES = ("auto", "inception", "vgg19", "none")
_INCEPTION_SIDE = 299


@dataclass(frozen=True)
class Views:
    """What the networks see in a picture. layers: of VGG19, [1, h, w, C], none without it; vector: [D] or None."""

    layers: Mapping[str, np.ndarray]
    vector: np.ndarray | None


@dataclass(frozen=True)
class Networks:
    """The networks in use. `features` says in words what the vectors of FID and KID are; empty: there are none.

    layers: [1, H, W, 3] float32 in [-1, 1], RGB -> {layer: [1, h, w, C]} of STYLE_LAYERS, or None.
    vector: [H, W, 3] uint8 RGB -> [D], or None: the means over the layers of VGG19, where there are some.
    """

    layers: Callable[[np.ndarray], Mapping] | None = None
    vector: Callable[[np.ndarray], np.ndarray] | None = None
    features: str = ""

    def look(self, pixels: np.ndarray) -> Views:
        """Returns what the networks see in [H, W, 3] uint8 RGB; VGG19 sees the middle 256 x 256."""
        layers = {}
        if self.layers:
            found = self.layers(images.to_float(centre(pixels))[None])
            layers = {name: np.asarray(values, np.float32) for name, values in found.items()}
        if not self.features:
            return Views(layers, None)
        return Views(layers, self.vector(pixels) if self.vector else _pooled(layers))


def load_networks(vgg19_weights: str, features: str = "auto") -> Networks:
    """Returns the networks, loaded.

    Args:
      vgg19_weights: as in models.vgg19.build_vgg19, or 'none': then nothing that needs VGG19 is measured.
      features: of FID and KID: 'inception' (InceptionV3, which Keras keeps or downloads), 'vgg19', 'none', or 'auto':
        inception, else vgg19 where its weights are given.

    Raises:
      ConfigError: weights that are wanted cannot be had. MissingExtraError: no TensorFlow.
    """
    if vgg19_weights == "none" and features == "none":
        return Networks()
    if vgg19_weights == "none" and features == "vgg19":
        raise ConfigError("--features=vgg19 needs --vgg19_weights.")
    if chosen_backend() == "tensorflow":
        load_tensorflow("Evaluation")
    from animegan_tf.models.vgg19 import build_vgg19

    layers = None if vgg19_weights == "none" else build_vgg19(STYLE_LAYERS, vgg19_weights)
    vector = _load_inception(required=features == "inception") if features in ("auto", "inception") else None
    if vector:
        return Networks(layers, vector, "InceptionV3 of Keras, mean over positions")
    names = ", ".join(STYLE_LAYERS)
    return Networks(
        layers, None, f"VGG19 {names}, normalised, mean over positions" if layers and features != "none" else ""
    )


def _pooled(layers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the means over positions of all layers, [D], each position divided by its root mean square first.

    So values are near 1, as the kernel of KID expects them; VGG19's own grow from layer to layer, up to thousands.
    """
    means = []
    for values in layers.values():
        active = np.maximum(values, 0)
        size = np.sqrt(np.square(active).mean(-1, keepdims=True))
        means.append((active / np.maximum(size, 1e-6)).mean((0, 1, 2)))
    return np.concatenate(means)


def _load_inception(required: bool) -> Callable[[np.ndarray], np.ndarray] | None:
    import keras

    try:
        with contextlib.redirect_stdout(sys.stderr):  # the download's progress
            network = keras.applications.InceptionV3(include_top=False, weights="imagenet", pooling="avg")
    except Exception as error:  # urllib, SSL and OS errors of the download
        if required:
            raise ConfigError(
                f"InceptionV3 could not be downloaded ({error}): --features=vgg19 does without."
            ) from None
        return None

    def vector(pixels: np.ndarray) -> np.ndarray:
        size = (_INCEPTION_SIDE, _INCEPTION_SIDE)
        resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        return np.asarray(network(images.to_float(resized)[None], training=False), np.float32)[0]

    return vector
