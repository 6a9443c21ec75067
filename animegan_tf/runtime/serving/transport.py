"""What the two ways to a model server have in common: NumPy arrays by name in and out, and one kind of failure."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Shapes: TypeAlias = dict[str, tuple[int, ...]]


class CallError(Exception):
    """A call that failed; `kind` says what to do about it, `detail` is the server's or the system's word.

    unavailable   nobody answers, or not now: try again      overloaded   too many requests: try again
    timeout       the time given was over                    unknown      no such model or version
    refused       the request is wrong: the same again would fail again
    broken        anything else: the model failed, or what answers is no model server
    """

    def __init__(self, kind: str, detail: str):
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = " ".join(detail.split())[:300].rstrip(".")


@dataclass(frozen=True)
class Signature:
    """What a signature takes and returns: name -> shape, batch included; -1 where a side is open."""

    inputs: Shapes
    outputs: Shapes

    def __str__(self) -> str:
        """Returns one line per tensor."""
        lines = [f"  takes   {name} {list(shape)}" for name, shape in sorted(self.inputs.items())]
        return "\n".join(lines + [f"  returns {name} {list(shape)}" for name, shape in sorted(self.outputs.items())])


@dataclass(frozen=True)
class VersionStatus:
    """A version of a model on the server. state: START, LOADING, AVAILABLE, UNLOADING or END; error: '' where none."""

    version: int
    state: str
    error: str = ""

    def __str__(self) -> str:
        """Returns one line."""
        return f"version {self.version}: {self.state} {self.error}".rstrip()


class Transport(abc.ABC):
    """One model on one server. Safe to call from several threads; every method raises CallError, nothing else.

    `seconds` is the time for the whole call. Strings, encoded pictures among them, are arrays of dtype object that
    hold bytes.
    """

    @abc.abstractmethod
    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """Returns the outputs of `signature` by name."""

    @abc.abstractmethod
    def signatures(self, seconds: float) -> dict[str, Signature]:
        """Returns every signature of the model that takes something, by name."""

    @abc.abstractmethod
    def status(self, seconds: float) -> list[VersionStatus]:
        """Returns the versions that the server knows of the model, newest first."""

    def close(self) -> None:  # noqa: B027
        """Ends the connection, where one is kept."""
