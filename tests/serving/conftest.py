"""Three tiny styles in a folder for TF Serving, and servers of it: two on the loopback, and TF Serving where it is."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animegan_tf.errors import ServingError
from animegan_tf.export.style_folder import describe
from animegan_tf.manifest import ModelFile, digest, write_manifest
from animegan_tf.runtime.serving.client import connect

CLASSES = ("hokusai", "duelyst", "monet")
KINDS = ("rest", "grpc", "real-rest", "real-grpc")


@pytest.fixture(scope="session")
def styles(tmp_path_factory) -> Path:
    """Returns a folder of style folders with SavedModels: plain, scenes (label) and painter (code and noise)."""
    pytest.importorskip("tensorflow", reason="making styles needs the extra train")
    from serving_toys import build_toys

    from animegan_tf.export.saved_model import write_saved_model

    folder = tmp_path_factory.mktemp("styles")
    for name, toy in build_toys().items():
        write_saved_model(toy, folder / name / "saved_model")
        file = ModelFile("saved_model", "saved_model", "float32", digest(folder / name / "saved_model"), 0, 0.0)
        said = {"name": name, "system": "toy", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}
        manifest = describe(toy, **said, classes=CLASSES if "label" in toy.inputs_shape else ())
        write_manifest(folder / name, replace(manifest, files=(file,)))
    return folder


@pytest.fixture(scope="session")
def serving_dir(styles, tmp_path_factory) -> Path:
    """Returns a folder of models/NAME/VERSION/: the three styles, plain in two versions."""
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    from animegan_tf.export.serving import add_model

    folder = tmp_path_factory.mktemp("serving")
    for name in ("plain", "scenes", "painter"):
        add_model(styles / name, folder / "models")
    shutil.copytree(folder / "models/plain/1", folder / "models/plain/2")
    return folder


@pytest.fixture(scope="session")
def core(serving_dir):
    """Returns the Core of the loopback servers; `faults` is for the tests, which leave it empty."""
    from model_server import Core

    return Core(serving_dir / "models")


@pytest.fixture(scope="session")
def rest(core):
    """Returns the address of the loopback REST server."""
    from model_server import serve_rest

    with serve_rest(core) as address:
        yield address


@pytest.fixture(scope="session")
def grpc_server(core):
    """Returns the address of the loopback gRPC server."""
    from model_server import serve_grpc

    with serve_grpc(core) as address:
        yield address


@pytest.fixture(scope="session")
def real(serving_dir):
    """Returns the addresses (REST, gRPC) of a TF Serving that serves the same folder."""
    program = shutil.which("tensorflow_model_server")
    if program is None:
        pytest.skip("no tensorflow_model_server on the PATH")
    from animegan_tf.export.serving import models_config

    (serving_dir / "models.config").write_text(models_config(serving_dir / "models", str(serving_dir / "models")))
    ports = [_free_port(), _free_port()]
    command = [program, f"--rest_api_port={ports[0]}", f"--port={ports[1]}"]
    command += [f"--model_config_file={serving_dir / 'models.config'}"]
    with open(serving_dir / "server.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{ports[0]}", process, serving_dir / "server.log")
        yield f"http://127.0.0.1:{ports[0]}", f"grpc://127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(params=KINDS)
def address(request) -> str:
    """Returns the address of each server in turn."""
    if request.param.startswith("real"):
        return request.getfixturevalue("real")[request.param == "real-grpc"]
    return request.getfixturevalue("rest" if request.param == "rest" else "grpc_server")


@pytest.fixture(params=["rest", "grpc_server"])
def loopback(request) -> str:
    """Returns the address of each loopback server in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def photo() -> np.ndarray:
    """Returns a smooth picture, uint8 [37, 50, 3]."""
    rows, columns = np.mgrid[0:37, 0:50]
    return np.stack([6 * rows, 5 * columns, 255 - 5 * columns], axis=-1).astype(np.uint8)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def _wait_for(address: str, process, log: Path) -> None:
    for name in ("plain", "scenes", "painter"):
        client = connect(address, name, retries=0)
        for _ in range(120):
            assert process.poll() is None, log.read_text(errors="replace")[-3000:]
            try:
                if all(status.state == "AVAILABLE" for status in client.status()):
                    break
            except ServingError:
                pass
            time.sleep(0.5)
