"""The SavedModel's serve_bytes: every picture of a request is answered for itself, and plain TensorFlow runs it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from animegan_tf import images
from animegan_tf.export import parity, saved_model
from animegan_tf.export.reference import stylize_pixels

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def _encoded(pixels: np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def _png_head(width: int, height: int) -> bytes:
    """Returns a PNG file of this size whose pixels are missing."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0d" + head + zlib.crc32(head).to_bytes(4, "big")


@pytest.fixture(scope="module")
def served(new_generator, tmp_path_factory):
    """Returns (generator, folder of its SavedModel, the same loaded)."""
    import tensorflow as tf

    generator, folder = new_generator("fast", 4), tmp_path_factory.mktemp("served") / "model"
    generator.build((None, 32, 32, 3))
    saved_model.write_saved_model(generator, folder)
    return generator, folder, tf.saved_model.load(str(folder))


def _ask(loaded, pictures: list[bytes]) -> tuple[list[bytes], list[str]]:
    import tensorflow as tf

    answer = loaded.signatures["serve_bytes"](image_bytes=tf.constant(pictures, tf.string))
    return list(answer["stylized_bytes"].numpy()), [error.decode() for error in answer["error"].numpy()]


def test_a_bad_picture_costs_its_neighbours_nothing(served):
    generator, _, loaded = served
    picture = parity.check_picture(37, 50)[0]
    grey = picture[:, :, 0]
    jpeg = _encoded(picture, "JPEG", quality=90, subsampling=2)
    png, alpha = _encoded(picture, "PNG"), _encoded(np.dstack([picture, grey]), "PNG")
    good = {0: jpeg, 2: png, 5: _encoded(grey, "PNG"), 7: alpha, 8: _encoded(picture, "JPEG", progressive=True)}
    damaged = bytearray(png)
    damaged[len(png) // 2] ^= 255
    bad = {
        1: (b"no picture at all", "not a JPEG or PNG picture"),
        3: (b"", "not a JPEG or PNG picture"),
        4: (jpeg[: len(jpeg) // 2], "damaged or truncated"),
        6: (bytes(damaged), "damaged or truncated"),
        9: (_encoded(picture, "GIF"), "not a JPEG or PNG picture"),
        10: (jpeg[:8], "not a JPEG or PNG picture"),
        11: (_png_head(50, 37), "damaged or truncated"),
        12: (_png_head(2**31 + 7, 2**31 + 9), "not a JPEG or PNG picture"),
    }
    answers, errors = _ask(loaded, [good[n] if n in good else bad[n][0] for n in range(13)])
    for number, data in good.items():
        # Decoded as Pillow decodes: what the server paints is what the command line paints.
        expected = images.to_uint8(stylize_pixels(generator, images.read_picture(data).pixels, {}))
        found = images.read_picture(answers[number]).pixels
        assert errors[number] == "" and np.abs(found.astype(int) - expected).max() <= 1, number
    for number, (_, sentence) in bad.items():
        assert (answers[number], errors[number]) == (b"", sentence), number


def test_an_oversize_picture_is_refused_by_its_head_alone(served):
    _, _, loaded = served
    # 1 bit a pixel: 5000x4000 in a file of a few kilobytes.
    wide = _encoded(np.zeros((4000, 5000), bool), "PNG")
    answers, errors = _ask(loaded, [wide, _png_head(2**31 - 1, 2**31 - 1)])
    assert answers == [b"", b""]
    assert errors[0] == "5000x4000 has more than the limit of 16.8 megapixels"
    assert errors[1] == "2147483647x2147483647 has more than the limit of 16.8 megapixels"


def test_a_request_without_pictures_is_answered(served):
    assert _ask(served[2], []) == ([], [])


def test_names_tell_rest_what_is_base64(served):
    signature = served[2].signatures["serve_bytes"]
    assert set(signature.structured_outputs) == {"stylized_bytes", "error"}
    assert set(signature.structured_input_signature[1]) == {"image_bytes"}


# Plain TensorFlow, in a process that cannot import this package.
_RUN = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "animegan_tf":
            raise ImportError("blocked")
sys.meta_path.insert(0, Blocked())
from tensorflow.python.tools import saved_model_cli
saved_model_cli.main()
"""


@pytest.mark.slow
def test_saved_model_cli_runs_it_without_this_package(served, tmp_path):
    generator, folder, _ = served
    picture = parity.check_picture(20, 33)[0]
    np.save(tmp_path / "picture.npy", picture[None])
    requests = {
        "serving_default": ["--inputs", f"image={tmp_path / 'picture.npy'}"],
        "serve_bytes": ["--input_exprs", f"image_bytes=[{_encoded(picture, 'PNG')!r}]"],
    }
    for signature, inputs in requests.items():
        command = [sys.executable, "-I", "-c", _RUN, "run", "--dir", str(folder), "--tag_set", "serve"]
        command += ["--signature_def", signature, *inputs, "--outdir", str(tmp_path)]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr[-2000:]
    expected = images.to_uint8(stylize_pixels(generator, picture, {}))
    pixels = np.load(tmp_path / "stylized.npy")[0]
    assert np.abs(pixels.astype(int) - expected).max() <= 1
    data = np.load(tmp_path / "stylized_bytes.npy", allow_pickle=True)[0]
    np.testing.assert_array_equal(images.read_picture(data).pixels, pixels)
