"""What every network of the family has in common."""

from __future__ import annotations

from typing import Any, ClassVar

import keras


class Network(keras.Model):
    """A subclassed Keras model that is built at once, so that its variables exist before the first picture.

    width: channels of the first layer; 0 gives `published_width`.
    takes: further settings of the constructor, by name: `build_generator` and `build_discriminator` pass these alone.
    streams: what `call` is given of a training batch besides pictures, by name, e.g. ('label',).
    """

    published_width: ClassVar[int]
    takes: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[tuple[str, ...]] = ()

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.width = width or self.published_width

    @property
    def inputs_shape(self) -> dict[str, tuple[int, ...]]:
        """Further inputs of `call`: name -> shape without the batch; all are float32. Empty for most networks."""
        return {}

    def build(self, input_shape):
        """Builds every layer by one symbolic pass over `input_shape` ([B, H, W, 3])."""
        if not self.built:
            self.built = True
            image = keras.KerasTensor(input_shape, dtype=self.compute_dtype)
            further = {
                name: keras.KerasTensor((input_shape[0], *shape), dtype="float32")
                for name, shape in self.inputs_shape.items()
            }
            self.compute_output_spec(image, **further)

    def get_config(self):
        return {"name": self.name, "width": self.width} | {name: getattr(self, name) for name in self.takes}


class Generator(Network):
    """photo: [B, H, W, 3] float in [-1, 1], RGB -> stylized: [B, H, W, 3] float32 in [-1, 1], RGB.

    A generator of many styles takes further inputs by name (`inputs_shape`), in training and in the exported files:

        label   [B, classes]   weights of the styles, one-hot or a blend that sums to 1
        code    [B, N]         what a style picture was encoded to
        noise   [B, N]         a normal draw, or zeros for none

    size_multiple: H and W must be multiples of it. margin: pixels to add on each side by reflection, and to cut off
    after, where zero padding would draw a frame around the picture; an export with photos measures how much.
    receptive_radius: no pixel further away, in rows or columns, changes a pixel of the result; None where statistics of
    the whole picture do. Tiles that overlap by as much equal the whole picture.
    encodes_style: a style picture becomes its `code` input by `encode`.
    """

    size_multiple: ClassVar[int]
    margin: int = 0
    receptive_radius: ClassVar[int | None] = None
    encodes_style: ClassVar[bool] = False

    @property
    def inference_variables(self) -> list:
        """The variables that `call` reads with training=False: what an exported file holds."""
        return self.variables

    def condition(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Returns the further inputs of `call` for a training batch, see `streams` and `inputs_shape`."""
        return {name: batch[name] for name in self.inputs_shape}
