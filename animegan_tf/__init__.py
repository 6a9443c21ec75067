"""animegan_tf: the AnimeGAN family (photo to anime and illustration) in TensorFlow and Keras.

Importing this package loads neither TensorFlow nor a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["StyleCode", "Stylizer", "__version__", "blend_codes", "list_styles", "read_code", "write_code"]

if TYPE_CHECKING:
    from animegan_tf.runtime.codes import StyleCode, blend_codes, read_code, write_code
    from animegan_tf.runtime.stylizer import Stylizer, list_styles


def __getattr__(name: str):
    if name in ("Stylizer", "list_styles"):
        from animegan_tf.runtime import stylizer

        return getattr(stylizer, name)
    if name in ("StyleCode", "blend_codes", "read_code", "write_code"):
        from animegan_tf.runtime import codes

        return getattr(codes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
