"""TF Serving's REST interface: JSON over HTTP, with encoded pictures as base64. Needs the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, quote

import numpy as np

from animegan_tf.runtime.serving.transport import CallError, Shapes, Signature, Transport, VersionStatus

# TF Serving's own translation of its error codes, seen from the other side.
_KINDS = {404: "unknown", 429: "overloaded", 502: "unavailable", 503: "unavailable", 504: "timeout"}
_KINDS |= dict.fromkeys((400, 401, 403, 409, 413, 501), "refused")
_PROXY_CODES = (413, 429, 502, 503, 504)
_CHUNK = 1 << 16
# Seconds. A socket refuses a timeout beyond the system's clock.
_LONGEST = 86400.0
# What reading a JSON answer of another form than expected raises; int() of JSON's Infinity is an OverflowError.
_NOT_SO = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class RestTransport(Transport):
    """A model at http://HOST:PORT or https://HOST:PORT; a path before /v1 is kept, as of a proxy."""

    def __init__(self, url: SplitResult, model: str, version: int | None):
        self._connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = url.hostname or "", url.port or 8501
        chosen = "" if version is None else f"/versions/{version}"
        self._path = f"{url.path.rstrip('/')}/v1/models/{quote(model, safe='')}{chosen}"

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """See Transport. A lone output comes without its name and is called ''."""
        columns = {name: _to_json(values) for name, values in inputs.items()}
        answer = self._call("POST", ":predict", seconds, {"signature_name": signature, "inputs": columns})
        outputs = answer.get("outputs")
        return {name: _from_json(v) for name, v in (outputs if isinstance(outputs, dict) else {"": outputs}).items()}

    def signatures(self, seconds: float) -> dict[str, Signature]:
        """See Transport."""
        answer = self._call("GET", "/metadata", seconds)
        try:
            found = answer["metadata"]["signature_def"]["signature_def"]
            return {
                name: Signature(_shapes(item.get("inputs", {})), _shapes(item.get("outputs", {})))
                for name, item in found.items()
                if item.get("inputs")
            }
        except _NOT_SO:
            raise CallError("broken", "its metadata is not that of a model server") from None

    def status(self, seconds: float) -> list[VersionStatus]:
        """See Transport."""
        answer = self._call("GET", "", seconds)
        try:
            return [
                VersionStatus(int(item["version"]), item["state"], item.get("status", {}).get("error_message", ""))
                for item in answer["model_version_status"]
            ]
        except _NOT_SO:
            raise CallError("broken", "its status is not that of a model server") from None

    def _call(self, method: str, suffix: str, seconds: float, body: dict | None = None) -> dict[str, Any]:
        text = None if body is None else json.dumps(body).encode()
        try:
            code, reason, answer = self._exchange(method, self._path + suffix, text, time.monotonic() + seconds)
        except TimeoutError:
            raise CallError("timeout", "no answer in time") from None
        except OSError as error:
            raise CallError("unavailable", error.strerror or str(error)) from None
        except UnicodeError as error:  # a host or path that cannot be sent
            raise CallError("broken", f"it cannot be asked: {error}") from None
        except http.client.HTTPException as error:
            raise CallError("broken", f"it does not speak HTTP ({type(error).__name__})") from None
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and code == 200:
            return found
        if isinstance(found, dict) and "error" in found:
            raise CallError(_KINDS.get(code, "broken"), str(found["error"]))
        # Not the words of a model server: a proxy before it, or something else altogether.
        kind = _KINDS[code] if code in _PROXY_CODES else "broken"
        raise CallError(kind, f"{code} {reason}, and not as a model server answers")

    def _exchange(self, method: str, path: str, body: bytes | None, end: float) -> tuple[int, str, bytes]:
        """Returns status, reason and body of the answer; raises TimeoutError when `end` has passed."""
        connection = self._connect(self._host, self._port, timeout=_left(end))
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            opened = connection.sock  # the connection drops it where the server closes, though there is more to read
            opened.settimeout(_left(end))
            with connection.getresponse() as response:
                return response.status, response.reason, _read(response, opened, end)
        finally:
            connection.close()


def _read(response: http.client.HTTPResponse, opened: socket.socket, end: float) -> bytes:
    # In pieces, because a socket's timeout counts from piece to piece: a server that drips would never be too late.
    parts = []
    while part := response.read1(_CHUNK):
        parts.append(part)
        opened.settimeout(_left(end))
    return b"".join(parts)


def _left(end: float) -> float:
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return min(seconds, _LONGEST)


def _to_json(values: np.ndarray) -> list:
    if values.dtype == object:
        return [{"b64": base64.b64encode(value).decode("ascii")} for value in values]
    return values.tolist()


def _from_json(values: Any) -> np.ndarray:
    """Returns the array of a JSON list; of strings, plain or as base64, one of bytes."""
    try:
        if not isinstance(values, list):
            raise ValueError
        if values and isinstance(values[0], str | dict):
            found = np.empty(len(values), object)
            found[:] = [v.encode() if isinstance(v, str) else base64.b64decode(v["b64"], validate=True) for v in values]
            return found
        return np.asarray(values)
    except _NOT_SO:
        raise CallError("broken", "its answer is not that of a model server") from None


def _shapes(tensors: Mapping[str, Any]) -> Shapes:
    return {name: tuple(int(d["size"]) for d in info["tensor_shape"].get("dim", [])) for name, info in tensors.items()}
