"""Loading TensorFlow and other native libraries without the notes they write to the terminal while they start."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from animegan_tf.errors import MissingExtraError

_LOCK = threading.Lock()


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hides notes such as 'INFO: Created TensorFlow Lite XNNPACK delegate for CPU', which no setting turns off.

    They are written by C++ to file descriptor 2. The lock keeps two threads from restoring each other's /dev/null.
    """
    with _LOCK, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a service may run without a descriptor 2
            saved = os.dup(2)
            stack.callback(os.close, saved)
            null = stack.enter_context(open(os.devnull, "wb"))
            os.dup2(null.fileno(), 2)
            stack.callback(os.dup2, saved, 2)
        yield


def load_tensorflow(purpose: str) -> ModuleType:
    """Returns TensorFlow with its devices found; silent, unless the user has set TF_CPP_MIN_LOG_LEVEL.

    Args:
      purpose: starts the message when it is not installed: 'Training'.

    Raises:
      MissingExtraError: TensorFlow is not installed.
    """
    hush = contextlib.nullcontext() if "TF_CPP_MIN_LOG_LEVEL" in os.environ else silent_stderr()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with hush:
            import tensorflow

            # Looking for devices is what writes the rest of the notes.
            tensorflow.config.list_physical_devices()
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise  # TensorFlow is there, something it needs is not
        raise MissingExtraError("tensorflow", "train", purpose) from None
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


def chosen_backend() -> str:
    """Returns the name of the backend that Keras runs on, or will once it is imported; Keras is not imported."""
    if "keras" in sys.modules:
        return sys.modules["keras"].backend.backend()
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    try:
        configured = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError):
        configured = None
    return os.environ.get("KERAS_BACKEND") or configured or "tensorflow"
