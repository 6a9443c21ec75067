"""Weights published by the AnimeGAN authors -> our networks. The files themselves are theirs, for non-commercial use.

Variable names. AnimeGANv3's are read off its released graph. Those of AnimeGAN and AnimeGANv2 are derived from the
published net/generator.py by the rules of TensorFlow 1's variable scopes: a contrib layer without a scope takes its
kind as name, then Conv_1, Conv_2 ... within the scope around it; conv2d holds `weights`, separable_conv2d
`depthwise_weights`, `pointwise_weights` and its norm's scope, the norms `gamma` and `beta`. For AnimeGAN this gives
the 129 variables that its released checkpoint lists.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from animegan_tf.errors import CheckpointError
from animegan_tf.models import Generator, build_generator

# Parts of a TensorFlow 1 checkpoint's file names after its prefix.
_SUFFIXES = (".index", ".meta", ".data-00000-of-00001")
_BATCH_NORM = {"Variable": 1.0, "Variable_1": 0.0, "Variable_2": 0.0, "Variable_3": 1.0}


def load_published(source: Path) -> Generator:
    """Returns our network with the weights of a published AnimeGAN, AnimeGANv2 or AnimeGANv3 generator.

    Of a training checkpoint, the discriminator and the optimizer's slots are left out. The width is read from the
    first convolution. AnimeGANv3's attention norm is 'published' where its four vectors are the untrained ones of the
    released files, else 'batch'.

    Args:
      source: a frozen graph (.pb), a checkpoint's prefix or one of its files, or the folder of one checkpoint.

    Raises:
      CheckpointError: not readable, no network known here, or its variables are missing, unknown or of another shape.
    """
    checkpoint = source.is_dir() or source.name.endswith(_SUFFIXES) or Path(f"{source}.index").is_file()
    weights = _generator_weights(read_tf1_checkpoint(source) if checkpoint else read_frozen_graph(source))
    system = next((name for name, (first, _) in _SYSTEMS.items() if first in weights), None)
    if system is None:
        near = f" (it has {min(weights)})" if weights else ""
        raise CheckpointError(f"{source} holds no generator of {', '.join(_SYSTEMS)}{near}.")
    first, name_variables = _SYSTEMS[system]
    generator = build_generator(system, weights[first].shape[-1], attention_norm=_attention_norm(weights))
    names = _Names()
    name_variables(generator, names)
    _assign(names.variables, weights, f"{source} is not the published {system}")
    return generator


def read_frozen_graph(path: Path) -> dict[str, np.ndarray]:
    """Returns the constants of a TensorFlow 1 frozen graph: name -> array.

    Raises:
      CheckpointError: not readable, or no such graph.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
        constants = {n.name: tf.make_ndarray(n.attr["value"].tensor) for n in graph.node if n.op == "Const"}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (DecodeError, TypeError, ValueError):
        constants = {}
    if not constants:
        raise CheckpointError(f"{path} is damaged or no frozen TensorFlow graph.")
    return constants


def read_tf1_checkpoint(source: Path) -> dict[str, np.ndarray]:
    """Returns the variables of a TensorFlow 1 checkpoint: name -> array.

    Args:
      source: prefix ('Hayao-99.ckpt'), one of its files ('Hayao-99.ckpt.index'), or a folder with one checkpoint.

    Raises:
      CheckpointError: none there, several in the folder, or not readable.
    """
    prefix = _prefix(source)
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, RuntimeError, ValueError):
        raise CheckpointError(f"{prefix} is damaged or no TensorFlow checkpoint.") from None


def _prefix(source: Path) -> Path:
    if source.is_dir():
        found = sorted(source.glob("*.index"))
        if len(found) != 1:
            names = ", ".join(path.stem for path in found)
            what = f"{len(found)} checkpoints, name one of them: {names}" if found else "no checkpoint (*.index)"
            raise CheckpointError(f"{source} holds {what}.")
        return found[0].with_suffix("")
    for suffix in _SUFFIXES:
        if source.name.endswith(suffix):
            return source.with_name(source.name.removesuffix(suffix))
    return source


def _generator_weights(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the float arrays below the scopes 'generator' and 'generator_1', by the rest of their names."""
    kept = {}
    for name, value in sorted(values.items()):
        scope, _, rest = name.partition("/")
        slot = re.search(r"/Adam(_\d+)?$", name)  # two optimizers, of pre-training and of training, have four slots
        if scope in ("generator", "generator_1") and not slot and value.ndim and value.dtype.kind == "f":
            kept[rest] = value
    return kept


def _attention_norm(weights: dict[str, np.ndarray]) -> str:
    vectors = [(weights.get(f"main/External_attention/{name}"), value) for name, value in _BATCH_NORM.items()]
    untrained = all(vector is not None and np.all(vector == value) for vector, value in vectors)
    return "published" if untrained else "batch"


def _assign(variables: dict, weights: dict[str, np.ndarray], failed: str) -> None:
    problems = []
    for verb, names in (("lacks", variables.keys() - weights.keys()), ("also has", weights.keys() - variables.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            problems.append(f"it {verb} {min(names)}{more}")
    for name in sorted(variables.keys() & weights.keys()):
        shape, wanted = weights[name].shape, tuple(variables[name].shape)
        # The external attention's memory has a leading side of 1 there: it was the kernel of a 1-d convolution.
        if shape not in (wanted, (1, *wanted)):
            problems.append(f"its {name} is {shape} where {wanted} is needed")
            break
    if problems:
        raise CheckpointError(f"{failed}: {', '.join(problems)}.")
    for name, variable in variables.items():
        variable.assign(weights[name].reshape(variable.shape))


class _Names:
    """Collects variables under the names that TensorFlow 1's variable scopes gave them."""

    def __init__(self, prefix: str = "", variables: dict | None = None):
        self.prefix = prefix
        self.variables: dict = {} if variables is None else variables
        self._counts: Counter[str] = Counter()

    def scope(self, name: str) -> _Names:
        return _Names(f"{self.prefix}{name}/", self.variables)

    def layer(self, kind: str) -> _Names:
        """Returns the scope of the next layer of this kind here: Conv, Conv_1 ..."""
        number = self._counts[kind]
        self._counts[kind] += 1
        return self.scope(f"{kind}_{number}" if number else kind)

    def add(self, **variables) -> None:
        self.variables |= {f"{self.prefix}{name}": variable for name, variable in variables.items()}


def _name_conv(conv, names: _Names) -> None:
    names.layer("Conv").add(weights=conv.conv.kernel)


def _name_norm(norm, names: _Names) -> None:
    names.add(gamma=norm.gamma, beta=norm.beta)


def _name_blocks(blocks, names: _Names, norm: str) -> None:
    for block in blocks:
        _name_conv(block.conv, names)
        _name_norm(block.norm, names.layer(norm))


def _name_residual(block, names: _Names, own: str, norm: str) -> None:
    _name_blocks([block.expand], names, norm)
    depthwise = block.depthwise.conv.conv
    names.scope(own).add(w=depthwise.kernel, **({"bias": depthwise.bias} if depthwise.use_bias else {}))
    _name_norm(block.depthwise.norm, names.scope("1"))
    _name_conv(block.project.conv, names)
    _name_norm(block.project.norm, names.scope("2"))


def _name_middle(blocks, names: _Names, norm: str) -> None:
    first, *residuals, last = blocks
    _name_blocks([first], names, norm)
    for number, block in enumerate(residuals, start=1):
        _name_residual(block, names.scope(f"r{number}"), f"r{number}", norm)
    _name_blocks([last], names, norm)


def _name_separable(block, names: _Names) -> None:
    layer = names.layer("SeparableConv2d")
    layer.add(
        depthwise_weights=block.depthwise.conv.kernel,
        pointwise_weights=block.pointwise.conv.conv.kernel,
    )
    _name_norm(block.pointwise.norm, layer.scope("InstanceNorm"))


def _name_animegan(generator, names: _Names) -> None:
    model, norm = names.scope("G_MODEL"), "InstanceNorm"
    stages = {
        "b1": [*generator.b1, *generator.b1_down],
        "b2": [*generator.b2, *generator.b2_down],
        "u2": generator.u2,
        "u1": generator.u1,
    }
    for stage, blocks in stages.items():
        scope = model.scope(stage)
        for block in blocks:
            if hasattr(block, "pointwise"):
                _name_separable(block, scope)
            else:
                _name_blocks([block], scope, norm)
    _name_middle(generator.middle, model.scope("m"), norm)
    _name_conv(generator.to_rgb, model)


def _name_animeganv2(generator, names: _Names) -> None:
    model, norm = names.scope("G_MODEL"), "LayerNorm"
    for stage in "abde":
        _name_blocks(getattr(generator, stage), model.scope(stage.upper()), norm)
    _name_middle(generator.c, model.scope("C"), norm)
    _name_conv(generator.to_rgb, model.scope("out_layer"))


def _name_animeganv3(generator, names: _Names) -> None:
    base, main = names.scope("base"), names.scope("main")
    for blocks in generator.base:
        _name_lade_blocks(blocks, base)
    attention = main.scope("External_attention")
    attention.add(kernel=generator.main.attention.memory)
    _name_conv(generator.main.attention.query, attention)
    _name_conv(generator.main.attention.project, attention)
    norm = generator.main.attention.batch_norm
    attention.add(
        **dict(zip(_BATCH_NORM, (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance), strict=True))
    )
    for blocks in generator.main.stages:
        _name_lade_blocks(blocks, main)
    _name_conv(generator.main.to_rgb, main)


def _name_lade_blocks(blocks, names: _Names) -> None:
    for block in blocks:
        _name_conv(block.conv, names)
        _name_conv(block.norm.conv, names)


# The name of the first convolution, by which a file is recognised, and what names the variables.
_SYSTEMS: dict[str, tuple[str, Callable[[Generator, _Names], None]]] = {
    "animegan": ("G_MODEL/b1/Conv/weights", _name_animegan),
    "animeganv2": ("G_MODEL/A/Conv/weights", _name_animeganv2),
    "animeganv3": ("base/Conv/weights", _name_animeganv3),
}
