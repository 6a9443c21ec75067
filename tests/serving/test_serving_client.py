"""The client against servers: what it gets is what the style gives here, and every failure is one sentence."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import ImageError, MissingExtraError, ServingError, StyleError, UsageError
from animegan_tf.images import Picture, encode_picture, read_picture
from animegan_tf.manifest import read_manifest
from animegan_tf.runtime.serving import client as client_module
from animegan_tf.runtime.serving import rpc
from animegan_tf.runtime.serving.backend import serve_style
from animegan_tf.runtime.serving.client import connect
from animegan_tf.runtime.serving.rest import RestTransport
from animegan_tf.runtime.serving.transport import CallError
from animegan_tf.runtime.stylizer import Stylizer


def _png(pixels: np.ndarray) -> bytes:
    return encode_picture(Picture(pixels), ".png")


def test_files_and_pixels_come_back_as_the_style_here_gives_them(address, styles, photo):
    client, local = connect(address, "plain"), Stylizer.load(styles / "plain", "saved_model")
    np.testing.assert_array_equal(read_picture(client.stylize_bytes(_png(photo))).pixels, local(photo))
    np.testing.assert_array_equal(client.stylize_pixels(photo[None])[0], local(photo))
    assert np.ptp(local(photo)) > 20  # of a style that paints something

    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", subsampling=2)
    expected = local(read_picture(buffer.getvalue()).pixels)
    np.testing.assert_array_equal(read_picture(client.stylize_bytes(buffer.getvalue())).pixels, expected)


def test_a_picture_larger_than_the_4_mb_of_grpc(address):
    pixels = np.random.default_rng(0).integers(0, 256, (1200, 1250, 3)).astype(np.uint8)
    if address.startswith("grpc"):  # as JSON it is 17 MB of text
        assert connect(address, "plain").stylize_pixels(pixels[None]).shape == (1, 1200, 1250, 3)
    else:
        assert len(connect(address, "plain").stylize_bytes(_png(pixels))) > 1_000_000


def test_metadata_says_what_a_model_takes(address):
    signatures = connect(address, "painter").signatures()
    assert set(signatures) == {"serving_default", "serve_bytes", "encode_style"}
    assert signatures["serve_bytes"].inputs == {"image_bytes": (-1,), "code": (-1, 5), "noise": (-1, 3)}
    assert signatures["serve_bytes"].outputs == {"stylized_bytes": (-1,), "error": (-1,)}
    assert signatures["serving_default"].outputs == {"stylized": (-1, -1, -1, 3)}
    assert str(signatures["encode_style"]) == "  takes   image [-1, -1, -1, 3]\n  returns code [-1, 5]"
    assert connect(address, "plain").further_inputs() == []
    assert sorted(connect(address, "painter").further_inputs()) == ["code", "noise"]


def test_status_and_versions(address):
    assert [str(s) for s in connect(address, "scenes").status()] == ["version 1: AVAILABLE"]
    assert [str(s) for s in connect(address, "plain", 2).status()] == ["version 2: AVAILABLE"]
    assert connect(address, "plain", 2).further_inputs() == []


def test_labels_codes_and_variations_reach_the_model(address, styles, photo):
    label = {"monet": 0.75, "hokusai": 0.25}
    served, local = (
        serve_style(styles / "scenes", connect(address, "scenes")),
        Stylizer.load(styles / "scenes", "saved_model"),
    )
    np.testing.assert_array_equal(served(photo, label=label), local(photo, label=label))
    assert (served(photo, label="monet") != served(photo, label="hokusai")).any()

    served, local = (
        serve_style(styles / "painter", connect(address, "painter")),
        Stylizer.load(styles / "painter", "saved_model"),
    )
    example = photo[::-1, :40]
    code = served.encode(example)
    np.testing.assert_allclose(code.values, local.encode(example).values, rtol=1e-6)
    found, expected = served(photo, code=code, variation=3), local(photo, code=code, variation=3)
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (served(photo, code=code) != found).any()


def test_what_a_server_says_is_not_called_a_failure_of_the_style(loopback, core, styles, photo):
    from model_server import Failure

    served = serve_style(styles / "plain", connect(loopback, "plain"))
    core.faults.append(Failure("INTERNAL", "out of memory"))
    with pytest.raises(ServingError, match=rf"^{loopback} failed \(out of memory\)\.$"):
        served(photo)


def test_a_served_style_does_what_a_style_does(rest, styles, photo, tmp_path):
    served, local = (
        serve_style(styles / "plain", connect(rest, "plain")),
        Stylizer.load(styles / "plain", "saved_model"),
    )
    Image.fromarray(np.dstack([photo, photo[:, :, 0]])).save(tmp_path / "photo.png")
    assert served(tmp_path / "photo.png", strength=0.5) == tmp_path / "photo_plain.png"
    written = read_picture(tmp_path / "photo_plain.png")
    np.testing.assert_array_equal(written.pixels, local(photo, strength=0.5))
    np.testing.assert_array_equal(written.alpha, photo[:, :, 0])


def test_a_style_that_is_not_the_one_served(rest, styles):
    with pytest.raises(StyleError, match=r"its inputs are .*image_bytes instead of image, label \[3\]"):
        serve_style(styles / "scenes", connect(rest, "plain"))
    with pytest.raises(StyleError, match="its inputs are"):
        serve_style(read_manifest(styles / "plain"), connect(rest, "scenes"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"no picture", "The server cannot take the picture: not a JPEG or PNG picture."),
        (b"", "The server cannot take the picture: not a JPEG or PNG picture."),
        ("cut", "The server cannot take the picture: damaged or truncated."),
        ("wide", "The server cannot take the picture: 5000x4000 has more than the limit of 16.8 megapixels."),
    ],
)
def test_pictures_that_a_server_cannot_take(address, photo, data, sentence):
    if data == "cut":
        data = _png(photo)[: len(_png(photo)) // 2]
    elif data == "wide":
        buffer = io.BytesIO()
        Image.new("1", (5000, 4000)).save(buffer, "PNG")
        data = buffer.getvalue()
    with pytest.raises(ImageError) as caught:
        connect(address, "plain").stylize_bytes(data)
    assert str(caught.value) == sentence


def test_an_unknown_model_version_and_signature(address, photo):
    with pytest.raises(ServingError, match=r"has no model 'plein' \(Servable not found for request: Latest\(plein\)\)"):
        connect(address, "plein").stylize_pixels(photo[None])
    with pytest.raises(ServingError, match="has no model 'plein'"):
        connect(address, "plein").status()
    with pytest.raises(ServingError, match="has no model 'plain' version 7"):
        connect(address, "plain", 7).signatures()
    with pytest.raises(ServingError, match="refused the request .*not found"):
        connect(address, "plain").encode(photo[None])
    with pytest.raises(ServingError, match="refused the request"):
        connect(address, "scenes").stylize_bytes(_png(photo))


def test_a_server_that_is_busy_or_away_for_a_moment_is_asked_again(loopback, core, photo):
    from model_server import Failure

    core.faults.extend([Failure("UNAVAILABLE", "loading"), Failure("RESOURCE_EXHAUSTED", "queue is full")])
    client, before = connect(loopback, "plain"), core.asked
    assert client.stylize_pixels(photo[None]).shape == (1, 37, 50, 3)
    assert (client.retried, core.asked - before) == (2, 3)


def test_waits_double_and_half_of_each_is_drawn(loopback, core, photo, monkeypatch):
    from model_server import Failure

    waits = []
    monkeypatch.setattr(client_module.time, "sleep", waits.append)
    monkeypatch.setattr(client_module.random, "uniform", lambda low, high: waits.append((low, high)) or high)
    core.faults.extend([Failure("RESOURCE_EXHAUSTED", "queue is full")] * 4)
    with pytest.raises(ServingError, match=r"has too much to do, after 4 attempts \(queue is full\)"):
        connect(loopback, "plain", retries=3).stylize_pixels(photo[None])
    assert waits == [(0.5, 1), 0.1, (0.5, 1), 0.2, (0.5, 1), 0.4, (0.5, 1)]
    assert not core.faults


def test_a_request_that_is_wrong_is_sent_once(loopback, core, photo):
    from model_server import Failure

    for code, sentence in (("INVALID_ARGUMENT", "refused the request (wrong"), ("INTERNAL", "failed (wrong")):
        core.faults.append(Failure(code, "wrong\nand more."))
        before = core.asked
        with pytest.raises(ServingError) as caught:
            connect(loopback, "plain").stylize_pixels(photo[None])
        assert str(caught.value) == f"{loopback} {sentence} and more)." and core.asked == before + 1


def test_a_deadline_holds_and_is_not_stretched_by_retries(loopback, core, photo):
    from model_server import Failure

    connect(loopback, "plain").stylize_pixels(photo[None])  # traces
    core.faults.append(1.0)
    start = time.monotonic()
    with pytest.raises(ServingError, match=r"gave no answer within 0\.3 s \(deadline\)\.$"):
        connect(loopback, "plain", deadline=0.3).stylize_pixels(photo[None])
    assert time.monotonic() - start < 0.9
    core.faults.extend([Failure("UNAVAILABLE", "loading")] * 5)
    start = time.monotonic()
    with pytest.raises(ServingError, match="cannot be reached|gave no answer"):
        connect(loopback, "plain", deadline=0.25, retries=100).stylize_pixels(photo[None])
    assert time.monotonic() - start < 0.9
    core.faults.clear()
    time.sleep(0.8)  # the server has finished what nobody waits for


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_that_is_down(scheme, photo):
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    with socket.socket() as opened:  # bound and not listening: nobody else takes the port meanwhile
        opened.bind(("127.0.0.1", 0))
        address = f"{scheme}://127.0.0.1:{opened.getsockname()[1]}"
        with pytest.raises(ServingError, match=rf"^{address} cannot be reached, after 2 attempts \(.*refused"):
            connect(address, "plain", retries=1, deadline=5).stylize_pixels(photo[None])


def _answer_once(reply: bytes, drip: float = 0.0) -> str:
    """Returns the address of a server that sends `reply` to its first request, byte by byte where it drips."""
    opened = socket.create_server(("127.0.0.1", 0))

    def serve():
        with opened, opened.accept()[0] as connection:
            connection.recv(1 << 16)
            try:
                for part in [bytes([b]) for b in reply] if drip else [reply]:
                    connection.sendall(part)
                    time.sleep(drip)
            except OSError:
                pass  # the client is gone, as it should

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{opened.getsockname()[1]}"


@pytest.mark.parametrize(
    ("reply", "sentence"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n<html>hello", "failed (200 OK, and not as a model server answers)."),
        (b"HTTP/1.0 404 Not Found\r\n\r\nno", "failed (404 Not Found, and not as a model server answers)."),
        (
            b"HTTP/1.0 413 Too Large\r\n\r\nno",
            "refused the request (413 Too Large, and not as a model server answers).",
        ),
        (
            b"HTTP/1.0 502 Bad Gateway\r\n\r\nno",
            "cannot be reached (502 Bad Gateway, and not as a model server answers).",
        ),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", "failed (its status is not that of a model server)."),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 100_000, "failed (200 OK, and not as a model server answers)."),
        (
            b'HTTP/1.0 200 OK\r\n\r\n{"model_version_status": [{"version": Infinity, "state": ""}]}',
            "failed (its status is not that of a model server).",
        ),
        (b'HTTP/1.0 404 Not Found\r\n\r\n{"error": [1]}', "has no model 'plain' ([1])."),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "failed (it does not speak HTTP (BadStatusLine))."),
        (b"", "cannot be reached (Remote end closed connection without response)."),
    ],
)
def test_what_answers_is_no_model_server(reply, sentence):
    address = _answer_once(reply)
    with pytest.raises(ServingError) as caught:
        connect(address, "plain", retries=0).status()
    assert str(caught.value) == f"{address} {sentence}"


def test_an_answer_that_drips_is_too_late():
    address = _answer_once(b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 200, drip=0.02)
    start = time.monotonic()
    with pytest.raises(ServingError, match="gave no answer within 0.4 s"):
        connect(address, "plain", deadline=0.4).status()
    assert time.monotonic() - start < 1.5


def test_a_path_before_v1_and_an_odd_name_are_kept(monkeypatch):
    seen = []
    monkeypatch.setattr(
        RestTransport, "_exchange", lambda self, method, path, *_: seen.append((method, path)) or (200, "", b"{}")
    )
    for call in ("status", "signatures"):
        with pytest.raises(ServingError):
            getattr(connect("https://host/tf/", "a%b", 3), call)()
    assert seen == [("GET", "/tf/v1/models/a%25b/versions/3"), ("GET", "/tf/v1/models/a%25b/versions/3/metadata")]


@pytest.mark.parametrize(
    ("server", "model", "sentence"),
    [
        ("localhost:8501", "x", "'localhost:8501' is no model server: write http://HOST:8501"),
        ("ftp://host", "x", "is no model server"),
        ("http://", "x", "is no model server"),
        ("http://host:port", "x", "is no model server"),
        ("http://me:secret@host", "x", "is no model server"),
        ("http://host", "a/b", "'a/b' cannot be the name of a model on a server."),
        ("http://host", "", "'' cannot be the name"),
        ("http://a..b:8501", "x", r"'http://a\.\.b:8501' is no model server"),
        (f"http://{'a' * 64}", "x", "is no model server"),
        ("grpc://a..b", "x", "is no model server"),
        ("http://host/t\u00e4glich", "x", "is no model server"),
        ("http://host\udc80", "x", "is no model server"),
        ("http://host", "\udc80", r"'\\udc80' cannot be the name of a model on a server\."),
    ],
)
def test_wrong_addresses_and_names(server, model, sentence):
    with pytest.raises(UsageError, match=sentence):
        connect(server, model)


@pytest.mark.parametrize(
    "server", ["http://host", "https://[::1]:8501", "http://h\u00f6st", "http://tf_serving.local."]
)
def test_unusual_addresses_and_names(server):
    assert connect(server, "\u6a21\u578b", 0, deadline=86400).server == server


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"deadline": 1e12}, r"^A deadline of 1e\+12 s is not between 0 and 86400\.$"),
        ({"deadline": float("inf")}, "^A deadline of inf s is not"),
        ({"deadline": float("nan")}, "^A deadline of nan s is not"),
        ({"deadline": 0}, "^A deadline of 0 s is not"),
        ({"version": -1}, r"^-1 cannot be the version of a model on a server\.$"),
        ({"version": 2**63}, r"^9223372036854775808 cannot be the version"),
    ],
)
def test_deadlines_and_versions_that_cannot_be(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        connect("http://host", "x", **options)


@pytest.mark.parametrize(
    ("server", "seconds", "said"),
    [
        ("http://a..b:8501", 5, "^broken: it cannot be asked: "),
        ("http://127.0.0.1:9/\u00e4", 5, "^broken: it cannot be asked: "),
        ("http://127.0.0.1:9", 1e12, "^unavailable: Connection refused$"),
    ],
)
def test_rest_raises_nothing_but_call_error(server, seconds, said):
    with pytest.raises(CallError, match=said):
        RestTransport(urlsplit(server), "x", None).status(seconds)


@pytest.mark.parametrize(
    ("call", "outputs"),
    [
        ("stylize_bytes", {"stylized_bytes": [{"b64": ""}], "error": [1]}),
        ("stylize_bytes", {"stylized_bytes": [{"b64": ""}], "error": [None]}),
        ("stylize_bytes", {"stylized_bytes": [5], "error": [""]}),
        ("stylize_bytes", {"stylized_bytes": [[1, 2]], "error": [""]}),
        ("stylize_bytes", {"stylized_bytes": [], "error": []}),
        ("stylize_pixels", [[["red"]]]),
        ("stylize_pixels", [[[[2**70]]]]),
        ("encode", [[None]]),
        ("encode", [["red"]]),
    ],
)
def test_a_model_that_answers_as_no_style_does(call, outputs, monkeypatch):
    answer = json.dumps({"outputs": outputs}).encode()
    monkeypatch.setattr(RestTransport, "_exchange", lambda *_: (200, "OK", answer))
    given = b"" if call == "stylize_bytes" else np.zeros((1, 1, 1, 3), np.uint8)
    with pytest.raises(
        ServingError, match=r"^Model 'plain' on http://host answers \w+ as no style of this project does"
    ):
        getattr(connect("http://host", "plain"), call)(given)


def test_grpc_answers_that_make_no_sense_are_no_model_servers(monkeypatch):
    pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

    predicted, metadata = predict_pb2.PredictResponse(), get_model_metadata_pb2.GetModelMetadataResponse()
    predicted.outputs["stylized"].dtype = 99
    packed = metadata.metadata["signature_def"]
    packed.type_url, packed.value = "type.googleapis.com/tensorflow.serving.SignatureDefMap", b"\xff"
    status = get_model_status_pb2.GetModelStatusResponse()
    status.model_version_status.add().state = 99
    for call, answer, what in (
        (lambda client: client.stylize_pixels(np.zeros((1, 1, 1, 3), np.uint8)), predicted, "answer"),
        (lambda client: client.signatures(), metadata, "metadata"),
        (lambda client: client.status(), status, "status"),
    ):
        monkeypatch.setattr(rpc.GrpcTransport, "_call", lambda *_, answer=answer: answer)
        with pytest.raises(ServingError, match=rf"failed \(its {what} is not that of a model server\)\.$"):
            call(connect("grpc://127.0.0.1", "plain"))


def test_a_thousand_attempts(monkeypatch):
    def refuse(*_):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(RestTransport, "_exchange", refuse)
    monkeypatch.setattr(client_module.time, "sleep", lambda seconds: None)
    with pytest.raises(ServingError, match=r"cannot be reached, after 1101 attempts \(Connection refused\)"):
        connect("http://host", "plain", retries=1100).status()


def test_grpc_without_its_extra(monkeypatch):
    monkeypatch.setattr(rpc.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"needs tensorflow-serving-api: pip install 'animegan-tf\[serving\]'"):
        connect("grpc://host", "x")
