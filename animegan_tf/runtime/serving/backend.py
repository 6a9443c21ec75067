"""A style on a model server behind the same calls as a style on disk.

stylizer = serve_style("hokusai", connect("http://127.0.0.1:8501", "hokusai"))
stylizer("photo.jpg", strength=0.8)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from animegan_tf.images import Picture, portable_bytes, read_picture
from animegan_tf.manifest import Manifest
from animegan_tf.runtime.backends import Backend
from animegan_tf.runtime.serving.client import ServingClient
from animegan_tf.runtime.stylizer import Stylizer, read_style


class ServingBackend(Backend):
    """A model on a server: uint8 in and out, any size up to the server's limit.

    Not one of `BACKENDS`, which are loaded from files that a manifest lists.
    """

    format = "serving"
    takes_uint8 = True
    takes_any_size = True
    holds_encoder = True

    def __init__(self, client: ServingClient, further: Mapping[str, tuple[int, ...]], role: str = "generator"):
        self._client, self._encodes = client, role == "style_encoder"
        super().__init__(Path(client.model), further=further, role=role)

    def _load(self, path: Path, threads: int | None, role: str) -> None:
        name = "encode_style" if self._encodes else "serve_bytes"
        signatures = self._client.signatures()
        if name not in signatures:
            raise ValueError(f"it has no signature {name}")
        self._image_input(signatures[name].inputs)

    def _compute(self, image: np.ndarray, further: Mapping[str, np.ndarray]) -> np.ndarray:
        if self._encodes:
            return self._client.encode(image)
        return read_picture(self._client.stylize_bytes(portable_bytes(Picture(image[0])), further)).pixels[None]


def serve_style(style: str | os.PathLike | Manifest, client: ServingClient) -> Stylizer:
    """Returns the stylizer of a style that `client` serves.

    Args:
      style: a shipped style, a style folder, or a manifest: says what the style is called and what it takes.
      client: of the model that was made of it.

    Raises:
      UsageError: no such style.
      StyleError: the style has no manifest that can be read, or the model does not take what it says.
      ServingError: the server does not answer.
    """
    manifest = style if isinstance(style, Manifest) else read_style(style)
    generator = ServingBackend(client, manifest.inputs)
    if "code" not in manifest.inputs:
        return Stylizer(manifest, generator)
    return Stylizer(manifest, generator, lambda: ServingBackend(client, {}, "style_encoder"))
