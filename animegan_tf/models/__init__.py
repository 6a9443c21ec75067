"""Networks by name. A new system is one file here, one line in a dict below, and one recipe."""

from __future__ import annotations

from animegan_tf.errors import UnknownNameError
from animegan_tf.models.animegan import AnimeGANGenerator
from animegan_tf.models.animeganv2 import AnimeGANv2Generator, AnimeGANv2LiteGenerator
from animegan_tf.models.discriminators import AnimeGANDiscriminator, AnimeGANv2Discriminator
from animegan_tf.models.fast import FastGenerator
from animegan_tf.models.network import Generator, Network

GENERATORS: dict[str, type[Generator]] = {
    "animegan": AnimeGANGenerator,
    "animeganv2": AnimeGANv2Generator,
    "animeganv2_lite": AnimeGANv2LiteGenerator,
    "fast": FastGenerator,
}
DISCRIMINATORS: dict[str, type[Network]] = {
    "animegan": AnimeGANDiscriminator,
    "animeganv2": AnimeGANv2Discriminator,
}
# Large enough for every stride and padding; parameters do not depend on it.
_BUILD_SHAPE = (1, 64, 64, 3)


def build_generator(name: str, width: int = 0) -> Generator:
    """Returns a built generator. `width`: channels of its first layer, 0 as published. Raises UnknownNameError."""
    return _build(GENERATORS, "generator", name, width)


def build_discriminator(name: str, width: int = 0) -> Network:
    """Returns a built discriminator. `width`: channels of its first layer, 0 as published. Raises UnknownNameError."""
    return _build(DISCRIMINATORS, "discriminator", name, width)


def _build(table: dict, kind: str, name: str, width: int):
    if name not in table:
        raise UnknownNameError(kind, name, table)
    network = table[name](width)
    network.build(_BUILD_SHAPE)
    return network
