"""VGG19 feature extractor for content and style terms.

Source: Simonyan and Zisserman 2014, configuration E, the Caffe weights that Keras distributes. Layer names are
Keras's, `blockI_convJ`, and give the values *before* ReLU, as the published AnimeGANs take them; `blockI_reluJ`
gives them after.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from animegan_tf.errors import ConfigError

_CONVOLUTIONS = (2, 2, 4, 4, 4)
_CHANNELS = (64, 128, 256, 512, 512)
_MEAN_BGR = (103.939, 116.779, 123.68)
LAYERS = tuple(f"block{i}_conv{j}" for i, n in enumerate(_CONVOLUTIONS, 1) for j in range(1, n + 1))

Weights = dict[str, tuple[np.ndarray, np.ndarray]]


class VGG19Features(keras.layers.Layer):
    """image: [B, H, W, 3] float in [-1, 1], RGB -> {name: [B, H/2^(I-1), W/2^(I-1), C]} for the wanted layers.

    Never trained. Computes no further than the deepest wanted layer.

    Args:
      names: wanted layers, `blockI_convJ` or `blockI_reluJ`; none gives an empty dict.
      weights: convolution name -> (kernel [3, 3, Cin, Cout], bias [Cout]), from `read_weights`.
      scale: the features are multiplied by it. The network takes levels of 0 to 255; systems whose weights are given
        for pictures of unit variance, as PyTorch's VGG19 takes them, need 1 / 57.4 (ImageNet's deviation, 0.225 x 255).
    """

    def __init__(self, names: tuple[str, ...], weights: Weights, scale: float = 1.0, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.scale = scale
        self.wanted = tuple(dict.fromkeys(names))
        self.convolutions = needed_layers(self.wanted)
        self._given = {name: weights[name] for name in self.convolutions}

    def build(self, input_shape):
        self.parts = {}
        for name, (kernel, bias) in self._given.items():
            part = self.add_weight(name=f"{name}_kernel", shape=kernel.shape, trainable=False)
            shift = self.add_weight(name=f"{name}_bias", shape=bias.shape, trainable=False)
            part.assign(kernel)
            shift.assign(bias)
            self.parts[name] = (part, shift)

    def call(self, image):
        found = {}
        mean = np.asarray(_MEAN_BGR, "float32")
        x = (ops.cast(image, "float32")[..., ::-1] + 1.0) * 127.5 - mean
        x = ops.cast(x, self.compute_dtype)
        for name in self.convolutions:
            kernel, bias = (ops.cast(part, self.compute_dtype) for part in self.parts[name])
            if name != "block1_conv1" and name.endswith("_conv1"):
                x = ops.max_pool(x, 2, 2, padding="same")
            x = ops.conv(x, kernel, padding="same") + bias
            found[name] = x
            x = ops.relu(x)
            found[name.replace("conv", "relu")] = x
        return {name: found[name] if self.scale == 1.0 else found[name] * self.scale for name in self.wanted}


def build_vgg19(names: tuple[str, ...], source: str, scale: float = 1.0) -> VGG19Features:
    """Returns the extractor of `names` with weights from `source`: imagenet, random, or an .npz / .h5 file.

    `scale`: see VGG19Features.

    Raises:
      ConfigError: unknown layer, unreadable source, or a source without a layer that is needed.
    """
    needed = needed_layers(names)
    if not needed:
        weights: Weights = {}
    elif source == "random":
        weights = _random_weights(needed)
    elif source == "imagenet":
        weights = _downloaded_weights(needed)
    else:
        weights = read_weights(Path(source), needed)
    features = VGG19Features(names, weights, scale, name="vgg19")
    features.build((None, None, None, 3))
    return features


def needed_layers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns every convolution from the first to the deepest of `names`. Raises ConfigError for an unknown name."""
    depth = 0
    for name in names:
        convolution = name.replace("relu", "conv")
        if convolution not in LAYERS:
            raise ConfigError(f"VGG19 has no layer {name!r}: layers are {', '.join(LAYERS)}, or relu instead of conv.")
        depth = max(depth, LAYERS.index(convolution) + 1)
    return LAYERS[:depth]


def read_weights(path: Path, needed: tuple[str, ...]) -> Weights:
    """Returns name -> (kernel, bias) of the `needed` convolutions from an .npz or Keras .h5 file.

    The .npz holds 'blockI_convJ/kernel' and 'blockI_convJ/bias'; it may end before the last layer.

    Raises:
      ConfigError: no such file, not such a file, or a needed layer is not in it (the message says how far it goes).
    """
    if not path.is_file():
        raise ConfigError(f"--vgg19_weights={path} does not exist.")
    try:
        found = _read_npz(path) if path.suffix == ".npz" else _read_h5(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"--vgg19_weights={path} cannot be read as .npz or .h5 weights: {error}.") from None
    missing = [name for name in needed if name not in found]
    if missing:
        last = max(found, key=LAYERS.index, default="no layer at all")
        raise ConfigError(
            f"--vgg19_weights={path} goes up to {last} but {missing[-1]} is needed: "
            f"choose --content_layer and --gram_layers up to {last}, or complete weights."
        )
    weights = {name: found[name] for name in needed}
    _check_shapes(weights, path)
    return weights


def _check_shapes(weights: Weights, path: Path) -> None:
    channels = 3
    for name, (kernel, bias) in weights.items():
        filters = _CHANNELS[int(name[5]) - 1]
        if kernel.shape != (3, 3, channels, filters) or bias.shape != (filters,):
            raise ConfigError(
                f"--vgg19_weights={path}: {name} has the shape {kernel.shape}, not (3, 3, {channels}, {filters})."
            )
        channels = filters


def _read_npz(path: Path) -> Weights:
    with path.open("rb") as file, np.load(file) as data:
        names = {key.split("/")[0] for key in data.files} & set(LAYERS)
        return {name: (data[f"{name}/kernel"], data[f"{name}/bias"]) for name in names}


def _read_h5(path: Path) -> Weights:
    import h5py

    arrays: dict[str, list[np.ndarray]] = {}

    def visit(key, item):
        name = re.search(r"block\d_conv\d", key)
        if name and isinstance(item, h5py.Dataset):
            arrays.setdefault(name.group(), []).append(np.asarray(item))

    with h5py.File(path) as file:
        file.visititems(visit)
    # Keras has named kernel and bias differently over the years; their ranks never changed.
    complete = {name: sorted(pair, key=lambda a: -a.ndim) for name, pair in arrays.items() if len(pair) == 2}
    return {name: (kernel, bias) for name, (kernel, bias) in complete.items()}


def _downloaded_weights(needed: tuple[str, ...]) -> Weights:
    try:
        network = keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # urllib, SSL and OS errors of the download
        raise ConfigError(
            f"The VGG19 weights could not be downloaded ({error}); give a file with --vgg19_weights=FILE."
        ) from None
    return {name: tuple(network.get_layer(name).get_weights()) for name in needed}


def _random_weights(needed: tuple[str, ...]) -> Weights:
    random = np.random.default_rng(19)
    weights: Weights = {}
    channels = 3
    for name in needed:
        filters = _CHANNELS[int(name[5]) - 1]
        kernel = random.normal(0, np.sqrt(2 / (9 * channels)), (3, 3, channels, filters))
        weights[name] = (kernel.astype("float32"), np.zeros(filters, "float32"))
        channels = filters
    return weights
