"""The Kotlin of android.md in Python: the same calls of the same interpreter, the same arithmetic around them.

There is no Android in the tests, so they run this; a change on one side belongs on the other. The GPU, and the thread
that it asks for, have no twin.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

MINIMUM_SIDE = 32


class StyleModel:
    """One .tflite file, opened; see the class of this name in android.md."""

    def __init__(self, interpreter: Interpreter, margin: int, size_multiple: int):
        self.interpreter, self.margin, self.size_multiple = interpreter, margin, size_multiple
        self.image = next(d for d in interpreter.get_input_details() if d["name"] == "image")
        self.stylized = interpreter.get_output_details()[0]
        self.takes_bytes = self.image["dtype"] is np.uint8
        height, width = self.image["shape_signature"][1:3].tolist()
        self.fixed_size = None if height < 0 else (height, width)
        self.allocated = self.fixed_size

    @classmethod
    def open(cls, path: Path, threads: int = 4) -> StyleModel:
        """Returns the model in the file `path`."""
        model = path.read_bytes()
        about = read_about(model)
        interpreter = Interpreter(model_content=model, num_threads=threads)
        found = cls(interpreter, about["margin"], about["size_multiple"])
        if found.fixed_size:
            interpreter.allocate_tensors()
        return found

    def stylize(self, photo: np.ndarray) -> np.ndarray:
        """Returns the photo in the style, uint8 RGB [H, W, 3]; in a file of one size it is shrunk to fit."""
        photo = self.shrink(photo)
        height, width = photo.shape[:2]
        padded = self.fixed_size or (self.padded(height), self.padded(width))
        if padded != self.allocated:
            self.interpreter.resize_tensor_input(self.image["index"], (1, *padded, 3))
            self.interpreter.allocate_tensors()
            self.allocated = padded
        self.interpreter.set_tensor(self.image["index"], self.fill(photo, *padded))
        self.interpreter.invoke()
        return self.read(self.interpreter.get_tensor(self.stylized["index"]), height, width)

    def padded(self, side: int) -> int:
        """Returns the side that the network is given for a photo of this `side`."""
        least = max(side + 2 * self.margin, MINIMUM_SIDE)
        return (least + self.size_multiple - 1) // self.size_multiple * self.size_multiple

    def fill(self, photo: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the input [1, height, width, 3]: the photo from [margin, margin] on, around it its reflection."""
        rows = [reflect(y - self.margin, photo.shape[0]) for y in range(height)]
        columns = [reflect(x - self.margin, photo.shape[1]) for x in range(width)]
        pixels = photo[rows][:, columns][None]
        return pixels if self.takes_bytes else pixels / np.float32(127.5) - np.float32(1)

    def read(self, output: np.ndarray, height: int, width: int) -> np.ndarray:
        """Returns the pixels of the photo's place in the output."""
        inside = output[0, self.margin : self.margin + height, self.margin : self.margin + width]
        if self.takes_bytes:
            return inside
        levels = ((inside + np.float32(1)) * np.float32(127.5)).clip(0, 255)
        return np.floor(levels + np.float32(0.5)).astype(np.uint8)  # Kotlin's roundToInt

    def shrink(self, photo: np.ndarray) -> np.ndarray:
        """Returns the photo so small that it fits a file of one size, with its margins; by Pillow's filter."""
        if not self.fixed_size:
            return photo
        sides = zip(self.fixed_size, photo.shape, strict=False)
        scale = min(np.float32(f - 2 * self.margin) / np.float32(side) for f, side in sides)  # Kotlin's Float
        if scale >= 1:
            return photo
        height, width = (max(1, int(np.float32(side) * scale)) for side in photo.shape[:2])
        return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR))


def read_about(model: bytes) -> dict:
    """Returns what the file says about itself: about.json, in the archive behind the model."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return json.loads(archive.read("about.json"))


def reflect(position: int, size: int) -> int:
    """Returns the place in an axis of `size` that a `position` outside it reflects, edges not repeated."""
    if size == 1:
        return 0
    place = position % (2 * (size - 1))
    return min(place, 2 * (size - 1) - place)
