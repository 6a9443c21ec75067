"""What a .tflite file says about itself, read back without the code that wrote it."""

import json
import zipfile

import numpy as np
import pytest
from flatbuffers import number_types
from flatbuffers.table import Table

from animegan_tf.export.graph import encode_function, stylize_function
from animegan_tf.export.metadata import with_metadata
from animegan_tf.export.style_folder import describe
from animegan_tf.export.tflite import convert_tflite

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SAID = {
    "name": "ink", "system": "toy", "recipe": "none", "licence": "CC0-1.0", "credits": "Prints: nobody.",
    "description": "Brush and ink, 墨", "author": "A. Painter", "training_steps": 7,
}  # fmt: skip
CLASSES = ("ink", "oil", "print")


class Node:
    """One table of a flatbuffer, its fields by their place in the schema."""

    def __init__(self, buffer: bytes, place: int):
        self.table = Table(buffer, place)

    def _place(self, field: int) -> int:
        offset = self.table.Offset(4 + 2 * field)
        return self.table.Pos + offset if offset else 0

    def byte(self, field: int) -> int:
        place = self._place(field)
        return self.table.Get(number_types.Int8Flags, place) if place else 0

    def integer(self, field: int) -> int:
        return self.table.Get(number_types.Uint32Flags, self._place(field))

    def text(self, field: int) -> str | None:
        place = self._place(field)
        return self.table.String(place).decode() if place else None

    def child(self, field: int) -> "Node":
        return Node(self.table.Bytes, self.table.Indirect(self._place(field)))

    def children(self, field: int) -> list["Node"]:
        start, count = self._vector(field)
        return [Node(self.table.Bytes, self.table.Indirect(start + 4 * item)) for item in range(count)]

    def texts(self, field: int) -> list[str]:
        start, count = self._vector(field)
        return [self.table.String(start + 4 * item).decode() for item in range(count)]

    def floats(self, field: int) -> list[float]:
        start, count = self._vector(field)
        return np.frombuffer(self.table.Bytes, "<f4", count, start).tolist()

    def _vector(self, field: int) -> tuple[int, int]:
        offset = self.table.Offset(4 + 2 * field)
        return (self.table.Vector(offset), self.table.VectorLen(offset)) if offset else (0, 0)


def read(model: bytes) -> Node:
    """Returns the ModelMetadata of a .tflite file: Model.metadata (6) names a buffer (4), of which 0 is the data."""
    root = Node(model, int.from_bytes(model[:4], "little"))
    (place,) = [item.integer(1) for item in root.children(6) if item.text(0) == "TFLITE_METADATA"]
    buffer = root.children(4)[place]
    start, count = buffer._vector(0)
    data = bytes(model[start : start + count])
    assert data[4:8] == b"M001"
    return Node(data, int.from_bytes(data[:4], "little"))


@pytest.fixture(scope="module")
def labelled(new_generator):
    """Returns (bare file, the same with metadata, manifest) of a generator of three classes."""
    generator = new_generator("conditional", 4, classes=3)
    manifest = describe(generator, **SAID, classes=CLASSES)
    bare = convert_tflite(stylize_function(generator, batch=1))
    return bare, with_metadata(bare, manifest), manifest


def test_the_model_says_who_made_it_and_under_which_licence(labelled):
    _, model, manifest = labelled
    about = read(model)
    assert (about.text(0), about.text(4), about.text(5)) == ("ink", "A. Painter", "CC0-1.0")
    assert about.text(1) == "Brush and ink, 墨 Prints: nobody."
    assert about.text(2) == f"{manifest.created_with}, step 7"
    assert about.text(7) == "1.0.0"
    assert [file.text(0) for file in about.children(6)] == ["about.json"]


def test_every_tensor_is_described_in_the_order_of_the_file(labelled):
    from ai_edge_litert.interpreter import Interpreter

    _, model, manifest = labelled
    (graph,) = read(model).children(3)
    assert graph.text(0) == "stylize"
    inputs = {tensor.text(0): tensor for tensor in graph.children(2)}
    assert list(inputs) == [detail["name"] for detail in Interpreter(model_content=model).get_input_details()]
    image, (stylized,) = inputs["image"], graph.children(3)
    for tensor, name in ((image, "image"), (stylized, "stylized")):
        assert tensor.text(0) == name and tensor.text(1).endswith("Pixels / 127.5 - 1.")
        assert tensor.texts(2) == ["batch", "height", "width", "channels"]
        content = tensor.child(3)
        assert content.byte(0) == 2 and content.child(1).byte(0) == 1  # image properties, RGB
        assert (tensor.child(5).floats(0), tensor.child(5).floats(1)) == ([1.0], [-1.0])
    assert f"multiples of {manifest.size_multiple}." in image.text(1)


def test_pixels_normalised_as_the_file_says_are_what_the_network_takes(labelled):
    (graph,) = read(labelled[1]).children(3)

    def normalise(tensor: Node, values: np.ndarray) -> np.ndarray:
        (unit,) = tensor.children(4)
        assert unit.byte(0) == 1  # normalisation
        return (values - unit.child(1).floats(0)[0]) / unit.child(1).floats(1)[0]

    pixels = np.array([0, 51, 255.0])
    image = next(tensor for tensor in graph.children(2) if tensor.text(0) == "image")
    values = normalise(image, pixels)
    np.testing.assert_allclose(values, [-1, -0.6, 1], atol=1e-6)
    np.testing.assert_allclose(normalise(graph.children(3)[0], values), pixels, atol=1e-4)


def test_the_classes_and_the_manifest_are_files_behind_the_model(labelled, tmp_path):
    _, model, manifest = labelled
    path = tmp_path / "model.tflite"
    path.write_bytes(model)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt").decode() == "ink\noil\nprint\n"
        about = json.loads(archive.read("about.json"))
    assert about["margin"] == manifest.margin and about["size_multiple"] == manifest.size_multiple
    assert about["classes"] == list(CLASSES) and about["inputs"] == {"label": [3]} and "files" not in about
    (graph,) = read(model).children(3)
    label = next(tensor for tensor in graph.children(2) if tensor.text(0) == "label")
    (file,) = label.children(6)
    assert (file.text(0), file.byte(2)) == ("labels.txt", 2)  # of an axis of the tensor
    assert (label.child(5).floats(0), label.child(5).floats(1)) == ([1.0], [0.0])


def test_the_network_computes_the_same_with_and_without(labelled, rng):
    from ai_edge_litert.interpreter import Interpreter

    image = rng.uniform(-1, 1, (1, 32, 40, 3)).astype(np.float32)
    label = np.float32([[0.2, 0.5, 0.3]])
    bare, full = (
        Interpreter(model_content=model).get_signature_runner()(image=image, label=label) for model in labelled[:2]
    )
    assert list(bare) == ["stylized"]
    np.testing.assert_array_equal(bare["stylized"], full["stylized"])


def test_the_same_style_gives_the_same_bytes(labelled):
    bare, model, manifest = labelled
    assert with_metadata(bare, manifest) == model


def test_a_file_of_pixels_says_so(new_generator, rng):
    generator = new_generator("fast", 4)
    photos = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)] * 2
    bare = convert_tflite(
        stylize_function(generator, 1, (32, 48)), "int8", photos=[np.tile(photos[0], (1, 2, 1))[:, :48]]
    )
    (graph,) = read(with_metadata(bare, describe(generator, **SAID))).children(3)
    for tensor in (graph.children(2)[0], graph.children(3)[0]):
        assert tensor.text(1).endswith("Pixels, 0 to 255.")
        assert (tensor.child(5).floats(0), tensor.child(5).floats(1)) == ([255.0], [0.0])
    # Before they are quantised with the file's own scale and zero point, which gives the pixels again.
    unit = graph.children(2)[0].children(4)[0].child(1)
    assert (unit.floats(0), unit.floats(1)) == ([127.5], [127.5])


def test_an_encoder_is_described_too(new_generator):
    generator = new_generator("style_code", 4)
    model = with_metadata(convert_tflite(encode_function(generator, batch=1)), describe(generator, **SAID))
    (graph,) = read(model).children(3)
    assert graph.text(0) == "encode"
    assert [tensor.text(0) for tensor in (*graph.children(2), *graph.children(3))] == ["image", "code"]
    assert graph.children(3)[0].texts(2) == ["batch", "code"]
