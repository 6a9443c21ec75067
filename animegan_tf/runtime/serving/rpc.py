"""TF Serving's gRPC interface, by the definitions of tensorflow-serving-api, which brings TensorFlow with it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult

import numpy as np

from animegan_tf.errors import MissingExtraError
from animegan_tf.native import load_tensorflow
from animegan_tf.runtime.serving.transport import CallError, Shapes, Signature, Transport, VersionStatus

_KINDS = {
    "UNAVAILABLE": "unavailable",
    "RESOURCE_EXHAUSTED": "overloaded",
    "DEADLINE_EXCEEDED": "timeout",
    "NOT_FOUND": "unknown",
}
_REFUSALS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED", "PERMISSION_DENIED")
_KINDS |= dict.fromkeys((*_REFUSALS, "UNAUTHENTICATED"), "refused")
# A picture is larger than gRPC's 4 MB; trying again is the client's, which knows the deadline.
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0))


class GrpcTransport(Transport):
    """A model at grpc://HOST:PORT, or grpcs:// for TLS.

    Raises:
      MissingExtraError: tensorflow-serving-api is not installed.
    """

    def __init__(self, url: SplitResult, model: str, version: int | None):
        for module in ("grpc", "tensorflow_serving"):
            if importlib.util.find_spec(module) is None:
                raise MissingExtraError("tensorflow-serving-api", "serving", "A server at grpc://")
        self._tensorflow = load_tensorflow("A server at grpc://")
        self._grpc = importlib.import_module("grpc")
        self._model, self._version = model, version
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        target = f"{host}:{url.port or 8500}"
        if url.scheme == "grpcs":
            self._channel = self._grpc.secure_channel(target, self._grpc.ssl_channel_credentials(), _OPTIONS)
        else:
            self._channel = self._grpc.insecure_channel(target, _OPTIONS)
        self._prediction = _api("prediction_service_pb2_grpc").PredictionServiceStub(self._channel)
        self._models = _api("model_service_pb2_grpc").ModelServiceStub(self._channel)

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """See Transport."""
        request = self._request("predict_pb2", "PredictRequest")
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(self._tensorflow.make_tensor_proto(values))
        answer = self._call(self._prediction.Predict, request, seconds)
        with _as_of_a_server("answer"):
            return {name: self._tensorflow.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def signatures(self, seconds: float) -> dict[str, Signature]:
        """See Transport."""
        request = self._request("get_model_metadata_pb2", "GetModelMetadataRequest")
        request.metadata_field.append("signature_def")
        answer = self._call(self._prediction.GetModelMetadata, request, seconds)
        found = _api("get_model_metadata_pb2").SignatureDefMap()
        with _as_of_a_server("metadata"):
            answer.metadata["signature_def"].Unpack(found)
        return {
            name: Signature(_shapes(item.inputs), _shapes(item.outputs))
            for name, item in found.signature_def.items()
            if item.inputs
        }

    def status(self, seconds: float) -> list[VersionStatus]:
        """See Transport."""
        answer = self._call(
            self._models.GetModelStatus, self._request("get_model_status_pb2", "GetModelStatusRequest"), seconds
        )
        kinds = _api("get_model_status_pb2").ModelVersionStatus.State
        with _as_of_a_server("status"):
            return [
                VersionStatus(item.version, kinds.Name(item.state), item.status.error_message)
                for item in answer.model_version_status
            ]

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _request(self, module: str, name: str) -> Any:
        request = getattr(_api(module), name)()
        request.model_spec.name = self._model
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _call(self, method: Callable, request: Any, seconds: float) -> Any:
        try:
            return method(request, timeout=seconds)
        except self._grpc.RpcError as error:
            kind = _KINDS.get(error.code().name, "broken")
            raise CallError(kind, error.details() or error.code().name) from None


@contextlib.contextmanager
def _as_of_a_server(what: str) -> Iterator[None]:
    """Context in which an answer is read; what it raises where it makes no sense becomes a CallError."""
    try:
        yield
    except (TypeError, ValueError, importlib.import_module("google.protobuf.message").DecodeError):
        raise CallError("broken", f"its {what} is not that of a model server") from None


def _api(module: str) -> Any:
    return importlib.import_module(f"tensorflow_serving.apis.{module}")


def _shapes(tensors: Mapping[str, Any]) -> Shapes:
    return {name: tuple(dim.size for dim in info.tensor_shape.dim) for name, info in tensors.items()}
