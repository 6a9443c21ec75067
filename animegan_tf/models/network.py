"""What every network of the family has in common."""

from __future__ import annotations

from typing import ClassVar

import keras


class Network(keras.Model):
    """A subclassed Keras model that is built at once, so that its variables exist before the first picture.

    width: channels of the first layer; 0 gives `published_width`.
    """

    published_width: ClassVar[int]

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.width = width or self.published_width

    def build(self, input_shape):
        """Builds every layer by one symbolic pass over `input_shape` ([B, H, W, 3])."""
        if not self.built:
            self.built = True
            self.compute_output_spec(keras.KerasTensor(input_shape, dtype=self.compute_dtype))

    def get_config(self):
        return {"name": self.name, "width": self.width}


class Generator(Network):
    """photo: [B, H, W, 3] float in [-1, 1], RGB -> stylized: [B, H, W, 3] float32 in [-1, 1], RGB.

    size_multiple: H and W must be multiples of it. margin: pixels to add on each side by reflection, and to cut off
    after, where zero padding would draw a frame around the picture.
    """

    size_multiple: ClassVar[int]
    margin: ClassVar[int] = 0
