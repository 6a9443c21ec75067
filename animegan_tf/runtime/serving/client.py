"""ServingClient: one model on a TF Serving server, asked with retries and a deadline.

client = connect("http://127.0.0.1:8501", "hokusai")
client.stylize_bytes(Path("photo.jpg").read_bytes())        the stylized picture, PNG
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import numpy as np

from animegan_tf.errors import ImageError, ServingError, UsageError
from animegan_tf.runtime.serving.rest import RestTransport
from animegan_tf.runtime.serving.rpc import GrpcTransport
from animegan_tf.runtime.serving.transport import CallError, Signature, Transport, VersionStatus

T = TypeVar("T")

DEADLINE, RETRIES = 60.0, 3
LONGEST_DEADLINE = 86400.0
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_TRANSPORTS: dict[str, Callable[[SplitResult, str, int | None], Transport]]
_TRANSPORTS = {"http": RestTransport, "https": RestTransport, "grpc": GrpcTransport, "grpcs": GrpcTransport}
# Half characters are what Python makes of an argument that is not UTF-8.
_MODEL_NAME = re.compile(r"[^/:\s\ud800-\udfff]+")
_VERSIONS = 2**63


def connect(
    server: str, model: str, version: int | None = None, *, deadline: float = DEADLINE, retries: int = RETRIES
) -> ServingClient:
    """Returns a client of `model` on `server`; nothing is sent yet.

    Args:
      server: 'http://HOST:8501' or 'https://...' for REST, 'grpc://HOST:8500' or 'grpcs://...' for gRPC.
      model: name of the model on the server.
      version: of the model; None takes the newest.
      deadline: seconds that one request may take, retries included; LONGEST_DEADLINE at most.
      retries: how often a request is sent again that found nobody, or a server with too much to do.

    Raises:
      UsageError: the address, name, version or deadline cannot be one.
      MissingExtraError: gRPC without the extra `serving`.
    """
    try:
        url = urlsplit(server)
        usable = url.scheme in _TRANSPORTS and url.hostname and url.username is None and url.port != 0
        (url.hostname or "").encode("idna"), url.path.encode("ascii")
    except ValueError:  # a port that is no number; UnicodeError: a host that no name server can be asked for
        usable = False
    if not usable:
        raise UsageError(f"{server!r} is no model server: write http://HOST:8501 (REST) or grpc://HOST:8500 (gRPC).")
    if not _MODEL_NAME.fullmatch(model):
        raise UsageError(f"{model!r} cannot be the name of a model on a server.")
    if version is not None and not 0 <= version < _VERSIONS:
        raise UsageError(f"{version} cannot be the version of a model on a server.")
    if not 0 < deadline <= LONGEST_DEADLINE:
        raise UsageError(f"A deadline of {deadline:g} s is not between 0 and {LONGEST_DEADLINE:g}.")
    transport = _TRANSPORTS[url.scheme](url, model, version)
    return ServingClient(transport, server, model, version, deadline, retries)


class ServingClient:
    """One model on one server. Safe to call from several threads. `retried`: how many requests were sent again."""

    def __init__(
        self, transport: Transport, server: str, model: str, version: int | None, deadline: float, retries: int
    ):
        self.server, self.model, self.deadline, self.retries, self.retried = server, model, deadline, retries, 0
        self._transport, self._version, self._lock = transport, version, threading.Lock()

    def stylize_bytes(self, data: bytes, further: Mapping[str, np.ndarray] | None = None) -> bytes:
        """Returns the stylized picture as the bytes of a PNG file.

        Args:
          data: a JPEG or PNG file. The server decodes it as it is stored: EXIF orientation and alpha are lost.
          further: the model's further inputs by name, float32 [1, n] each.

        Raises:
          ImageError: the server cannot decode the picture, or it is too large for it.
          ServingError: the server cannot be reached, is too slow, or refuses the request.
        """
        answer = self._predict("serve_bytes", {"image_bytes": np.array([data], object), **(further or {})})
        stylized, error = (_lone_bytes(answer.get(name)) for name in ("stylized_bytes", "error"))
        if stylized is None or error is None:
            raise self._no_style("serve_bytes")
        if error:
            raise ImageError(f"The server cannot take the picture: {error.decode(errors='replace')}.")
        return stylized

    def stylize_pixels(self, pixels: np.ndarray, further: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
        """Returns the stylized pictures, uint8 RGB [N, H, W, 3]; `pixels` likewise. Raises ServingError as above.

        They travel as they are, three bytes a pixel over gRPC; over REST every number is text.
        """
        answer = self._predict("serving_default", {"image": pixels, **(further or {})})
        stylized = _only(answer)
        if stylized is None or stylized.shape != pixels.shape or stylized.dtype.kind not in "iu":
            raise self._no_style("serving_default")
        return stylized.astype(np.uint8)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the codes of style pictures, float32 [N, n], of uint8 RGB [N, H, W, 3]. Raises ServingError."""
        code = _only(self._predict("encode_style", {"image": pixels}))
        if code is None or code.ndim != 2 or len(code) != len(pixels) or code.dtype.kind not in "fiu":
            raise self._no_style("encode_style")
        return code.astype(np.float32)

    def signatures(self) -> dict[str, Signature]:
        """Returns what the model takes and returns, by signature. Raises ServingError."""
        return self._with_retries(self._transport.signatures)

    def further_inputs(self) -> list[str]:
        """Returns the names of what the model takes besides the picture. Raises ServingError, also for no style."""
        signature = self.signatures().get("serve_bytes")
        if signature is None or "image_bytes" not in signature.inputs:
            raise self._no_style("serve_bytes")
        return [name for name in signature.inputs if name != "image_bytes"]

    def status(self) -> list[VersionStatus]:
        """Returns the versions of the model that the server knows. Raises ServingError."""
        return self._with_retries(self._transport.status)

    def close(self) -> None:
        """Ends the connection."""
        self._transport.close()

    def _predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._with_retries(lambda seconds: self._transport.predict(signature, inputs, seconds))

    def _with_retries(self, call: Callable[[float], T]) -> T:
        end = time.monotonic() + self.deadline
        attempt = 0
        while True:
            try:
                return call(max(end - time.monotonic(), 1e-3))
            except CallError as error:
                # Half of the wait is drawn, so that clients that were refused together do not come back together.
                wait = min(_FIRST_WAIT * 2 ** min(attempt, 10), _LONGEST_WAIT) * random.uniform(0.5, 1)
                again = error.kind in ("unavailable", "overloaded") and attempt < self.retries
                if not again or time.monotonic() + wait >= end:
                    raise ServingError(self._sentence(error, attempt + 1)) from None
            attempt += 1
            with self._lock:
                self.retried += 1
            time.sleep(wait)

    def _sentence(self, error: CallError, attempts: int) -> str:
        tried = f", after {attempts} attempts" if attempts > 1 else ""
        version = "" if self._version is None else f" version {self._version}"
        sentences = {
            "unavailable": f"{self.server} cannot be reached{tried} ({error.detail}).",
            "overloaded": f"{self.server} has too much to do{tried} ({error.detail}).",
            "timeout": f"{self.server} gave no answer within {self.deadline:g} s (deadline).",
            "unknown": f"{self.server} has no model {self.model!r}{version} ({error.detail}).",
            "refused": f"{self.server} refused the request ({error.detail}).",
        }
        return sentences.get(error.kind, f"{self.server} failed ({error.detail}).")

    def _no_style(self, signature: str) -> ServingError:
        return ServingError(
            f"Model {self.model!r} on {self.server} answers {signature} as no style of this project does."
        )


def _only(answer: Mapping[str, np.ndarray]) -> np.ndarray | None:
    return next(iter(answer.values())) if len(answer) == 1 else None


def _lone_bytes(values: np.ndarray | None) -> bytes | None:
    return values[0] if values is not None and values.shape == (1,) and isinstance(values[0], bytes) else None
