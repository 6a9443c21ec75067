"""Packaging of animegan-tf. Ranges here, exact pins in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "animegan_tf/__init__.py").read_text()).group(1)

BASE = ["numpy>=2", "Pillow>=11", "ai-edge-litert>=2.1,<3", "click>=8.1", "tqdm>=4.66"]
EXTRAS = {
    # Keras is bounded because TensorFlow does not cap it.
    "train": [
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "opencv-python>=4.11",
        "scikit-image>=0.25",
        "absl-py>=2.1",
        "tf2onnx>=1.17",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "tensorboard>=2.20",
    ],
    # Trains under KERAS_BACKEND=jax, without TensorFlow; for a GPU, JAX's own extra: jax[cuda13].
    "jax": ["jax>=0.10,<0.11", "keras>=3.15,<3.16", "opencv-python>=4.11", "absl-py>=2.1", "h5py>=3.11"],
    "onnx": ["onnxruntime>=1.20"],
    # A folder for TF Serving, and its client over gRPC; over REST the client needs absl-py alone.
    "serving": ["tensorflow-serving-api>=2.21,<2.22", "absl-py>=2.1"],
    # Pictures of more than 100 megapixels; libvips (LGPL) comes with it.
    "large": ["pyvips[binary]>=3"],
    # mtcnn 1.0 brings its weights in the wheel and does not name TensorFlow itself.
    "faces": ["mtcnn>=1.0,<1.1", "tensorflow>=2.21,<2.22", "keras>=3.15,<3.16", "absl-py>=2.1"],
    "dev": [
        "pytest>=8",
        "pytest-xdist>=3.6",
        "jax>=0.10,<0.11",
        "ruff>=0.9",
        "mypy>=1.14",
        "build>=1.2",
        "setuptools>=77",
    ],
}
EXTRAS["all"] = sorted({item for name in ("train", "onnx", "faces", "large", "serving") for item in EXTRAS[name]})

setup(
    name="animegan-tf",
    version=VERSION,
    description="The AnimeGAN family: photos to anime and illustration, in TensorFlow and Keras",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["animegan_tf", "animegan_tf.*"]), "animegan_tf.recipes"],
    package_dir={"animegan_tf.recipes": "flags"},
    package_data={
        "animegan_tf": ["py.typed", "styles/*/*.*", "styles/*/saved_model/*.*", "styles/*/saved_model/*/*"],
        "animegan_tf.recipes": ["*.flags"],
    },
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "animegan = animegan_tf.apps.cli:main",
            "animegan-train = animegan_tf.training.run:main",
            "animegan-export = animegan_tf.export.run:main",
            "animegan-new-style = animegan_tf.studio.new_style:main",
        ]
    },
    classifiers=[
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Multimedia :: Graphics",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
