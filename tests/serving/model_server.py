"""A model server on the loopback: TF Serving's own service definitions and JSON, answered by TensorFlow itself.

Where the two differ from a plain Python server they follow TF Serving's sources: which error has which code, strings
as base64 only under names that end in `_bytes`, a lone output without its name.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

_HTTP = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "UNAVAILABLE": 503, "INTERNAL": 500}
_PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(?::(predict)|/(metadata))?")


class Failure(Exception):
    """What a server answers in place of a result; `code` is a name of gRPC's."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class Core:
    """The models of a folder NAME/VERSION/, and what goes wrong: `faults` are met by the next predictions in turn.

    A fault is a Failure to raise, or seconds to wait. `asked`: how many predictions were asked for; `busiest`: how
    many at once.
    """

    def __init__(self, models: Path):
        self.faults: deque[Failure | float] = deque()
        self.asked = self.busy = self.busiest = 0
        self._lock = threading.Lock()
        self._models = {}
        for folder in sorted(models.glob("*/[0-9]*")):
            graph = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]
            entry = (tf.saved_model.load(str(folder)), graph.signature_def)
            self._models.setdefault(folder.parent.name, {})[int(folder.name)] = entry

    def find(self, spec):
        """Returns (version, loaded model, its signatures as the file has them)."""
        versions = self._models.get(spec.name, {})
        wanted = spec.version.value if spec.HasField("version") else max(versions, default=None)
        if wanted not in versions:
            which = f"Specific({spec.name}, {wanted})" if spec.HasField("version") else f"Latest({spec.name})"
            raise Failure("NOT_FOUND", f"Servable not found for request: {which}")
        return wanted, *versions[wanted]

    def predict(self, request):
        """Returns the PredictResponse."""
        with self._lock:
            self.asked, self.busy = self.asked + 1, self.busy + 1
            self.busiest = max(self.busiest, self.busy)
            fault = self.faults.popleft() if self.faults else 0.0
        try:
            if isinstance(fault, Failure):
                raise fault
            time.sleep(fault)
            return self._answer(request)
        finally:
            with self._lock:
                self.busy -= 1

    def _answer(self, request):
        version, loaded, known = self.find(request.model_spec)
        name = request.model_spec.signature_name or "serving_default"
        if name not in known:
            raise Failure("INVALID_ARGUMENT", f'Serving signature key "{name}" not found.')
        if set(request.inputs) != set(known[name].inputs):
            raise Failure("INVALID_ARGUMENT", f"input size does not match signature: {sorted(request.inputs)}")
        try:
            inputs = {key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
            outputs = loaded.signatures[name](**inputs)
        except (tf.errors.InvalidArgumentError, TypeError, ValueError) as error:
            raise Failure("INVALID_ARGUMENT", str(error)) from None
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        response.model_spec.version.value = version
        for key, tensor in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
        return response

    def metadata(self, request):
        """Returns the GetModelMetadataResponse."""
        _, _, known = self.find(request.model_spec)
        found = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in known.items():
            found.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        response.metadata["signature_def"].Pack(found)
        return response

    def status(self, request):
        """Returns the GetModelStatusResponse."""
        spec = request.model_spec
        if spec.name not in self._models:
            raise Failure("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in sorted(self._models[spec.name], reverse=True):
            if not spec.HasField("version") or spec.version.value == version:
                response.model_version_status.add(version=version, state="AVAILABLE").status.error_code = 0
        return response


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: Core):
        self.core = core

    def Predict(self, request, context):
        return _or_abort(self.core.predict, request, context)

    def GetModelMetadata(self, request, context):
        return _or_abort(self.core.metadata, request, context)


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: Core):
        self.core = core

    def GetModelStatus(self, request, context):
        return _or_abort(self.core.status, request, context)


def _or_abort(answer, request, context):
    try:
        return answer(request)
    except Failure as failure:
        context.abort(getattr(grpc.StatusCode, failure.code), failure.message)


class _Handler(BaseHTTPRequestHandler):
    core: Core

    def do_GET(self):
        self._reply(self._get)

    def do_POST(self):
        self._reply(self._post)

    def log_message(self, *_):
        pass

    def _reply(self, answer):
        try:
            code, text = 200, answer(_PATH.fullmatch(self.path))
        except Failure as failure:
            code, text = _HTTP[failure.code], json.dumps({"error": failure.message})
        with contextlib.suppress(ConnectionError):  # the client may have gone
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

    def _get(self, match):
        metadata = match[4] is not None
        kind = (
            get_model_metadata_pb2.GetModelMetadataRequest if metadata else get_model_status_pb2.GetModelStatusRequest
        )
        request = _with_spec(kind(), match)
        if not metadata:
            return json_format.MessageToJson(self.core.status(request), always_print_fields_with_no_presence=True)
        response, found = self.core.metadata(request), get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        options = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
        spec, known = (json_format.MessageToJson(part, **options) for part in (response.model_spec, found))
        return f'{{"model_spec": {spec}, "metadata": {{"signature_def": {known}}}}}'

    def _post(self, match):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = _with_spec(predict_pb2.PredictRequest(), match)
        request.model_spec.signature_name = name = body.get("signature_name", "serving_default")
        known = self.core.find(request.model_spec)[2]
        if name not in known:
            raise Failure("INVALID_ARGUMENT", f'Serving signature name: "{name}" not found in signature def')
        for key, values in body["inputs"].items():
            if key not in known[name].inputs:
                raise Failure("INVALID_ARGUMENT", f"JSON object: does not have named input: {key}")
            dtype = tf.dtypes.as_dtype(known[name].inputs[key].dtype).as_numpy_dtype
            request.inputs[key].CopyFrom(tf.make_tensor_proto(np.array(_decoded(values), dtype)))
        outputs = {key: _encoded(key, tensor) for key, tensor in self.core.predict(request).outputs.items()}
        return json.dumps({"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))})


def _with_spec(request, match):
    request.model_spec.name = match[1]
    if match[2]:
        request.model_spec.version.value = int(match[2])
    return request


def _decoded(values):
    if isinstance(values, list):
        return [_decoded(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values


def _encoded(name: str, tensor):
    values = tf.make_ndarray(tensor)
    if values.dtype != object:
        return values.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in values]
    return [value.decode("utf-8", "replace") for value in values]


@contextlib.contextmanager
def serve_grpc(core: Core) -> Iterator[str]:
    """Serves `core` while the context is open; yields its address."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(core), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


@contextlib.contextmanager
def serve_rest(core: Core) -> Iterator[str]:
    """Serves `core` while the context is open; yields its address."""
    handler = type("Handler", (_Handler,), {"core": core})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
