"""Records what tensorflow-addons 0.23.0 computes into tests/fixtures/addons.npz, read by tests/test_addons_parity.py.

tensorflow-addons imports only with TensorFlow <= 2.15.1 and Python <= 3.11, so this is the one program of the project
that runs in an environment of its own:

    python3.11 -m venv addons && addons/bin/pip install \
        tensorflow-cpu==2.15.1 tensorflow-addons==0.23.0 numpy==1.26.4 absl-py==2.5.1
    addons/bin/python tools/record_addons.py

It imports nothing of the project. Inputs are recorded beside the outputs, so the test needs no addons and no equal
random generator. Two runs on one machine write the same bytes; another CPU may differ in the last bits.
"""

import platform

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa
from absl import app, flags

_OUT = flags.DEFINE_string("out", "tests/fixtures/addons.npz", "The .npz file to write.")


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _instance_norm() -> dict[str, np.ndarray]:
    """Far from mean 0 and scale 1, with gamma and beta that are neither ones nor zeros."""
    x, gamma, beta = 3.0 * _normal(0, 2, 7, 5, 6) + 1.5, 1.0 + 0.5 * _normal(1, 6), _normal(2, 6)
    layer = tfa.layers.InstanceNormalization(epsilon=1e-5)
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return {"x": x, "gamma": gamma, "beta": beta, "output": layer(x).numpy()}


def _spectral_norm() -> dict[str, np.ndarray]:
    """Two training calls, one in inference mode, a third training call: state carries over, inference keeps it.

    Even sides, kernel 3, stride 2: 'same' then pads one zero row below and one column at the right, nothing else.
    """
    x, kernel, u = _normal(3, 2, 8, 6, 4), _normal(4, 3, 3, 4, 5), 0.02 * _normal(5, 1, 5)
    conv = tf.keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)
    layer = tfa.layers.SpectralNormalization(conv, power_iterations=1)
    layer.build(x.shape)
    conv.kernel.assign(kernel)
    layer.u.assign(u)
    record = {"x": x, "kernel": kernel, "u": u}
    for step, training in (("1", True), ("2", True), ("_inference", False), ("3", True)):
        record["output" + step] = layer(x, training=training).numpy()
        record["kernel" + step], record["u" + step] = conv.kernel.numpy(), layer.u.numpy()
    return record


def _gaussian() -> dict[str, np.ndarray]:
    x = _normal(6, 2, 11, 9, 3)
    return {"x": x, "output": tfa.image.gaussian_filter2d(x, (5, 5), sigma=1.1, padding="REFLECT").numpy()}


def _rotate() -> dict[str, np.ndarray]:
    """Both signs, odd and even sides, and the two border modes that augmentation may want."""
    x, angles = _normal(7, 2, 14, 17, 3), np.array([0.1, -0.25], np.float32)
    modes = {m: tfa.image.rotate(x, angles, "bilinear", fill_mode=m).numpy() for m in ("constant", "reflect")}
    return {"x": x, "angles": angles, **modes}


def _warp() -> dict[str, np.ndarray]:
    """Flow of several pixels, so that many points fall outside the picture and are clamped to its border."""
    x, flow = _normal(8, 2, 12, 15, 3), 2.5 * _normal(9, 2, 12, 15, 2)
    return {"x": x, "flow": flow, "output": tfa.image.dense_image_warp(x, flow).numpy()}


def main(argv: list[str]) -> None:
    del argv
    parts = {
        "instance_norm": _instance_norm(),
        "spectral_norm": _spectral_norm(),
        "gaussian": _gaussian(),
        "rotate": _rotate(),
        "warp": _warp(),
    }
    arrays = {f"{part}/{name}": value for part, record in parts.items() for name, value in record.items()}
    versions = {"tensorflow": tf.__version__, "tensorflow_addons": tfa.__version__, "numpy": np.__version__}
    versions["python"] = platform.python_version()
    np.savez_compressed(_OUT.value, versions=np.array([f"{k} {v}" for k, v in versions.items()]), **arrays)
    print(f"{_OUT.value}: {len(arrays)} arrays, {', '.join(f'{k} {v}' for k, v in versions.items())}")


if __name__ == "__main__":
    app.run(main)
