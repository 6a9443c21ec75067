"""Networks by name. A new system is one file here, one line in a dict below, and one recipe."""

from __future__ import annotations

from pathlib import Path

from animegan_tf.errors import CheckpointError, UnknownNameError
from animegan_tf.models.animegan import AnimeGANGenerator
from animegan_tf.models.animeganv2 import AnimeGANv2Generator, AnimeGANv2LiteGenerator
from animegan_tf.models.animeganv3 import AnimeGANv3Discriminator, AnimeGANv3Generator
from animegan_tf.models.conditional import ConditionalDiscriminator, ConditionalGenerator
from animegan_tf.models.dcgan import DCGANCritic, DCGANGenerator
from animegan_tf.models.discriminators import AnimeGANDiscriminator, AnimeGANv2Discriminator
from animegan_tf.models.fast import FastGenerator
from animegan_tf.models.mobile import MobileDiscriminator, MobileGenerator
from animegan_tf.models.network import Generator, Network
from animegan_tf.models.style_code import StyleCodeGenerator
from animegan_tf.models.unet import UEAnimeGANv2Generator

GENERATORS: dict[str, type[Generator]] = {
    "animegan": AnimeGANGenerator,
    "animeganv2": AnimeGANv2Generator,
    "animeganv2_lite": AnimeGANv2LiteGenerator,
    "animeganv3": AnimeGANv3Generator,
    "conditional": ConditionalGenerator,
    "dcgan": DCGANGenerator,
    "fast": FastGenerator,
    "mobile": MobileGenerator,
    "style_code": StyleCodeGenerator,
    "ue_animeganv2": UEAnimeGANv2Generator,
}
DISCRIMINATORS: dict[str, type[Network]] = {
    "animegan": AnimeGANDiscriminator,
    "animeganv2": AnimeGANv2Discriminator,
    "animeganv3": AnimeGANv3Discriminator,
    "conditional": ConditionalDiscriminator,
    "dcgan_critic": DCGANCritic,
    "mobile": MobileDiscriminator,
}
# Large enough for every stride and padding; parameters do not depend on it.
_BUILD_SHAPE = (1, 64, 64, 3)


def build_generator(name: str, width: int = 0, **settings) -> Generator:
    """Returns a built generator.

    Args:
      name: a key of GENERATORS.
      width: channels of its first layer; 0 as published.
      settings: what networks may ask for besides, e.g. classes=3; each takes what it names in `takes`.

    Raises:
      UnknownNameError: no such generator.
    """
    return _build(GENERATORS, "generator", name, width, settings)


def build_discriminator(name: str, width: int = 0, **settings) -> Network:
    """Returns a built discriminator; arguments and errors as `build_generator`."""
    return _build(DISCRIMINATORS, "discriminator", name, width, settings)


def _build(table: dict, kind: str, name: str, width: int, settings: dict):
    if name not in table:
        raise UnknownNameError(kind, name, table)
    network = table[name](width, **{key: settings[key] for key in table[name].takes if key in settings})
    network.build(_BUILD_SHAPE)
    return network


def load_weights(network: Network, path: Path, complaint: str) -> None:
    """Loads a .weights.h5 file into `network`.

    Raises:
      CheckpointError: the file is damaged or of another network: `complaint`, and why.
    """
    try:
        network.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for a damaged or foreign file
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{complaint}: {first_line}") from None
