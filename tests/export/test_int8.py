"""Full int8 files: pixels in and out, nothing but int8 between, as exact as 256 steps allow."""

import keras
import numpy as np
import pytest
from drawn import draw_photo
from keras import layers, ops
from tflite_runs import run_tflite

from animegan_tf import images
from animegan_tf.errors import ConfigError, DataError, ExportError
from animegan_tf.export import int8, parity
from animegan_tf.export.graph import stylize_function
from animegan_tf.export.int8 import measure_ranges
from animegan_tf.export.run import ExportOptions, export_run, read_calibration
from animegan_tf.export.style_folder import describe, write_style_folder
from animegan_tf.export.tflite import convert_tflite
from animegan_tf.manifest import read_manifest
from animegan_tf.models import Generator
from animegan_tf.models.mobile import SpatialAttention
from animegan_tf.runtime.stylizer import Stylizer

# The converters' own deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
SAID = {"name": "toy", "system": "toy", "recipe": "none", "licence": "CC0-1.0", "credits": "nobody"}
PHOTOS = [draw_photo(seed, 48, 64) for seed in range(12)]


class Toy(Generator):
    """Two convolutions, one of them depthwise, with batch norm and ReLU6, and one to RGB; then `bound`."""

    published_width = 6
    size_multiple = 4
    margin = 4

    def __init__(self, width: int = 0, **kwargs):
        super().__init__(width, **kwargs)
        self.blocks = [
            layers.Conv2D(self.width, 3, 2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
        ]
        self.to_rgb = layers.Conv2D(12, 3, padding="same")

    def call(self, photo, training=False):
        for block in self.blocks:
            photo = block(photo)
        return ops.tanh(ops.depth_to_space(self.to_rgb(photo), 2))


class JoinedToy(Toy):
    """The photo itself joins the last convolution, with a map of a wider range."""

    def call(self, photo, training=False):
        x = photo
        for block in self.blocks:
            x = block(x)
        packed = ops.space_to_depth(photo, 2)
        return ops.tanh(ops.depth_to_space(self.to_rgb(ops.concatenate([3.0 * x, packed], axis=-1)), 2))


class BoundedToy(Toy):
    """Maps that end at `largest` join the photo in front of the last convolution."""

    def __init__(self, largest: float, **kwargs):
        super().__init__(**kwargs)
        self.last = [layers.Conv2D(4, 3, padding="same"), layers.ReLU(largest)]

    def call(self, photo, training=False):
        x = photo
        for block in [*self.blocks, *self.last]:
            x = block(x)
        packed = ops.space_to_depth(photo, 2)
        return ops.clip(ops.depth_to_space(self.to_rgb(ops.concatenate([x, packed], axis=-1)), 2), -1.0, 1.0)


class AttendedToy(Toy):
    """A map of both signs is weighed by what its maximum over the channels says."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attend = [layers.Conv2D(self.width, 3, padding="same"), SpatialAttention()]

    def call(self, photo, training=False):
        x = photo
        for block in [*self.blocks, *self.attend]:
            x = block(x)
        return ops.tanh(ops.depth_to_space(self.to_rgb(x), 2))


class Gain(Generator):
    """bound(a 1x1 convolution of the photo): its result is known to a fraction of a level."""

    published_width = 3
    size_multiple = 1

    def __init__(self, bound=ops.tanh, **kwargs):
        super().__init__(3, **kwargs)
        self.bound, self.to_rgb = bound, layers.Conv2D(3, 1)

    def call(self, photo, training=False):
        return self.bound(self.to_rgb(photo))


class Endless(Gain):
    """Ends in no convolution."""

    def call(self, photo, training=False):
        return ops.tanh(photo)


class Wavy(Gain):
    """Has an operation that int8 lacks."""

    def call(self, photo, training=False):
        return self.bound(self.to_rgb(ops.sin(photo)))


class Grey(Gain):
    """The last convolution gives one channel."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.to_rgb = layers.Conv2D(1, 1)

    def call(self, photo, training=False):
        return ops.tanh(ops.tile(self.to_rgb(photo), (1, 1, 1, 3)))


def built(toy: Generator) -> Generator:
    """Returns `toy` with weights that look trained: norms that fit what comes in."""
    keras.utils.set_random_seed(3)
    toy.build((1, 32, 32, 3))
    random = np.random.default_rng(0)
    for variable in toy.variables:
        if variable.path.endswith("moving_mean"):
            variable.assign(random.normal(0, 0.1, variable.shape))
        elif variable.path.endswith("moving_variance"):
            variable.assign(random.uniform(0.1, 0.3, variable.shape))
        elif variable.path.endswith("beta"):
            variable.assign(random.uniform(0.5, 2.0, variable.shape))
    return toy


def convert(toy: Generator, photos=tuple(PHOTOS)) -> bytes:
    """Returns the int8 file of `toy`."""
    return convert_tflite(stylize_function(toy, batch=1), "int8", photos)


def interpret(model: bytes):
    """Returns an interpreter of `model`, and its operators by name."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    return interpreter, [details["op_name"] for details in interpreter._get_ops_details()]


def run_int8(model: bytes, photo: np.ndarray) -> np.ndarray:
    """Returns what the int8 file makes of a photo, uint8 [H, W, 3]."""
    return run_tflite(model, photo[None])[0]


@pytest.fixture(scope="module")
def toy_model():
    """Returns (a toy, its int8 file)."""
    toy = built(Toy())
    return toy, convert(toy)


def test_pixels_go_in_and_out_at_any_size(toy_model):
    toy, model = toy_model
    interpreter, _ = interpret(model)
    for details, name in (
        (interpreter.get_input_details()[0], "image"),
        (interpreter.get_output_details()[0], "stylized"),
    ):
        assert details["name"] == name and details["dtype"] is np.uint8
        assert details["shape_signature"].tolist() == [1, -1, -1, 3]
    for height, width in ((32, 48), (64, 36)):
        photo = draw_photo(40, height, width)
        expected = images.to_uint8(np.asarray(toy(images.to_float(photo)[None]))[0])
        difference = run_int8(model, photo).astype(int) - expected
        assert np.abs(difference).mean() < 1.5 and abs(difference.mean()) < 0.5


def test_every_operation_is_int8_and_batch_norm_is_gone(toy_model):
    interpreter, operators = interpret(toy_model[1])
    assert [name for name in operators if name != "DELEGATE"] == [
        "DEQUANTIZE", "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "TANH", "DEPTH_TO_SPACE", "DEQUANTIZE",
        "QUANTIZE",
    ]  # fmt: skip
    kinds = [details["dtype"] for details in interpreter.get_tensor_details()]
    assert set(kinds) == {np.uint8, np.int8, np.int32, np.float32}
    assert kinds.count(np.float32) == 2  # between uint8 and int8, at both ends


def test_kernels_have_a_scale_per_channel(toy_model):
    interpreter, _ = interpret(toy_model[1])
    scales = {
        tuple(details["shape"]): len(details["quantization_parameters"]["scales"])
        for details in interpreter.get_tensor_details()
        if details["dtype"] is np.int8 and len(details["shape"]) == 4
    }
    assert (scales[6, 3, 3, 3], scales[1, 3, 3, 6], scales[12, 3, 3, 6]) == (6, 6, 12)


def test_the_fast_generator_has_no_change_of_scale_but_at_its_ends(new_generator):
    _, operators = interpret(convert(new_generator("fast", 4), PHOTOS[:4]))
    assert operators.count("QUANTIZE") <= 3  # both ends, and the photo where it joins the last convolution
    assert operators.count("DEQUANTIZE") == 2
    assert not {"SPACE_TO_DEPTH", "RSQRT", "SQUARED_DIFFERENCE", "MINIMUM", "RELU"} & set(operators)


@pytest.mark.parametrize(("bound", "kept"), [(1.0, False), (0.5, True)])
def test_a_bound_where_int8_ends_anyway_costs_no_operation(bound, kept, monkeypatch):
    toy = built(BoundedToy(bound))
    model, photo = convert(toy), draw_photo(61, 48, 64)
    _, operators = interpret(model)
    assert ("RELU" in operators, "MINIMUM" in operators) == (kept, kept)
    monkeypatch.setattr(int8, "_cut_by_saturation", lambda model: None)
    with_bound = convert(toy)
    assert "MINIMUM" in interpret(with_bound)[1]
    difference = run_int8(model, photo).astype(int) - run_int8(with_bound, photo)
    assert np.abs(difference).max() <= 2 and np.abs(difference).mean() < 0.2


@pytest.mark.parametrize("bound", [ops.tanh, lambda x: ops.clip(x, -1.0, 1.0)], ids=["tanh", "clip"])
def test_neither_end_costs_half_a_level(bound):
    toy = built(Gain(bound))
    toy.to_rgb.kernel.assign(0.9 * np.eye(3)[None, None])
    model = convert(toy)
    for seed in (50, 51):
        photo = draw_photo(seed, 48, 64)
        expected = (np.asarray(toy(images.to_float(photo)[None]))[0] + 1) * 127.5
        difference = run_int8(model, photo) - expected
        assert abs(difference.mean()) < 0.15
        assert np.abs(difference).mean() < 0.8


def test_a_photo_that_joins_a_wider_map_still_goes_in_as_pixels():
    toy = built(JoinedToy())
    photo, model = draw_photo(60, 48, 64), convert(toy)
    expected = images.to_uint8(np.asarray(toy(images.to_float(photo)[None]))[0])
    assert np.abs(run_int8(model, photo).astype(int) - expected).mean() < 3
    details = interpret(model)[0].get_input_details()[0]
    assert details["quantization"] == (pytest.approx(1 / 127.5), 128)


def test_what_lies_below_a_maximum_over_channels_is_not_cut_off():
    toy = built(AttendedToy())
    photo, model = draw_photo(62, 48, 64), convert(toy)
    assert "REDUCE_MAX" in interpret(model)[1]
    expected = images.to_uint8(np.asarray(toy(images.to_float(photo)[None]))[0])
    assert np.abs(run_int8(model, photo).astype(int) - expected).mean() < 1.5


def test_ranges_are_those_that_19_of_20_photos_keep_to():
    toy = built(Gain())
    toy.to_rgb.kernel.assign(2 * np.eye(3)[None, None])
    model = convert_tflite(stylize_function(toy, batch=1))
    photos = [np.full((8, 8, 3), 140, np.uint8)] * 39 + [np.full((8, 8, 3), 255, np.uint8)]
    ranges = measure_ranges(model, photos)
    interpreter, _ = interpret(model)
    assert ranges[interpreter.get_input_details()[0]["index"]] == (-1.0, 1.0)
    grey = 2 * (140 / 127.5 - 1)
    found = ranges[interpreter.get_output_details()[0]["index"]]
    assert found == (0.0, pytest.approx(np.tanh(grey), abs=1e-5))
    assert any(high == pytest.approx(grey, abs=1e-5) for _, high in ranges.values())


@pytest.mark.parametrize(
    ("toy", "photos", "message"),
    [
        (Gain, (), "An int8 file needs photos"),
        (Endless, PHOTOS[:2], "is for a network that ends in a convolution"),
        (Wavy, PHOTOS[:2], "This network cannot be wholly int8: SIN would compute in float32"),
        (Grey, PHOTOS[:2], "whose last convolution gives RGB; this one gives 1"),
    ],
)
def test_what_cannot_be_made_is_one_sentence(toy, photos, message):
    with pytest.raises(ExportError, match=message):
        convert(built(toy()), photos)


def test_the_check_is_the_mean_difference(toy_model, tmp_path):
    toy, model = toy_model
    path = tmp_path / "model_int8.tflite"
    path.write_bytes(model)
    largest, mean = parity.measure_int8(toy, path, PHOTOS[:3])
    differences = [
        np.abs(
            images.to_float(run_int8(model, photo)) - np.asarray(toy(images.to_float(photo)[None]))[0],
        )[4:-4, 4:-4]
        for photo in PHOTOS[:3]
    ]
    assert mean == pytest.approx(np.mean(differences), abs=1e-6) and mean < 0.012
    assert largest == pytest.approx(np.max(differences), abs=1e-6)


def test_files_that_are_no_use_are_refused(toy_model, tmp_path):
    toy, model = toy_model
    path = tmp_path / "model_int8.tflite"
    path.write_bytes(model)
    other = built(Toy())
    other.to_rgb.kernel.assign(-other.to_rgb.kernel)
    with pytest.raises(ExportError, match=r"model_int8.tflite differs from the Keras network by \d\.\d+ in the mean"):
        parity.measure_int8(other, path, PHOTOS[:2])
    other.to_rgb.kernel.assign(other.to_rgb.kernel * np.nan)
    with pytest.raises(ExportError, match="differs from the Keras network by nan"):
        parity.measure_int8(other, path, PHOTOS[:2])
    flat = built(Gain())
    flat.to_rgb.kernel.assign(flat.to_rgb.kernel * 0)
    path.write_bytes(convert(flat))
    with pytest.raises(ExportError, match="draws every photo in one flat colour"):
        parity.measure_int8(flat, path, PHOTOS[:2])
    path.write_bytes(b"not a model")
    with pytest.raises(ExportError, match="model_int8.tflite was written but does not run"):
        parity.measure_int8(toy, path, PHOTOS[:2])


@pytest.fixture(scope="module")
def toy_style(tmp_path_factory):
    """Returns (style folder of TFLite files with an int8 one, its network)."""
    toy, out = built(Toy()), tmp_path_factory.mktemp("int8") / "toy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "SIZES", ((64, 64),))
        write_style_folder(toy, describe(toy, **SAID), out=out, formats=("tflite",), calibration=PHOTOS)
    return out, toy


def test_the_manifest_tells_of_the_int8_file(toy_style):
    manifest = read_manifest(toy_style[0])
    assert [file.precision for file in manifest.files] == ["float32", "float16", "int8"]
    file = manifest.find("tflite", "int8")
    assert 0 < file.mean_error < 0.012 and file.mean_error < file.max_error < 0.2
    assert [file.mean_error for file in manifest.files[:2]] == [None, None]
    assert manifest.find("tflite").precision == "float32"


def test_the_runtime_takes_the_int8_file_when_asked(toy_style):
    out, toy = toy_style
    stylizer, photo = Stylizer.load(out, "tflite", "int8"), draw_photo(70, 33, 57)
    assert stylizer.backend.takes_uint8 and not Stylizer.load(out).backend.takes_uint8
    found, exact = stylizer(photo), Stylizer.load(out)(photo)
    assert found.shape == photo.shape and found.dtype == np.uint8
    assert 0 < np.abs(found.astype(int) - exact).mean() < 1.5
    values = stylizer.backend.run(images.to_float(photo[None, :32, :56]))
    assert values.dtype == np.float32 and -1 <= values.min() < values.max() <= 1


@pytest.fixture
def photo_dir(tmp_path):
    """Returns a folder of 9 photos, two of them larger than needed."""
    for number, photo in enumerate(PHOTOS[:7]):
        images.write_picture(tmp_path / f"photos/{number}.png", images.Picture(photo))
    for name, size in (("tall", (600, 300)), ("wide", (280, 700))):
        images.write_picture(tmp_path / f"photos/{name}.png", images.Picture(draw_photo(80, *size)))
    return tmp_path / "photos"


def test_photos_to_calibrate_on_are_cut_to_their_middle(photo_dir):
    photos = read_calibration(photo_dir)
    assert [photo.shape for photo in photos] == [(48, 64, 3)] * 7 + [(256, 256, 3)] * 2
    np.testing.assert_array_equal(photos[0], PHOTOS[0])


def test_a_photo_that_cannot_be_read_is_left_out(photo_dir, capsys):
    (photo_dir / "0.png").write_bytes(b"no picture")
    assert len(read_calibration(photo_dir)) == 8
    message = capsys.readouterr().err
    assert message.startswith(f"skipped: {photo_dir / '0.png'}") and message.count("\n") == 1
    (photo_dir / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"photos holds 7 pictures that can be read; int8 needs at least 8\.$"):
        read_calibration(photo_dir)
    with pytest.raises(DataError, match=r"nowhere holds 0 pictures that can be read; int8 needs at least 8\.$"):
        read_calibration(photo_dir / "nowhere")


def test_a_run_with_photos_to_calibrate_on_has_an_int8_file(photo_dir, tmp_path, write_run, monkeypatch, capsys):
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    monkeypatch.setitem(parity.MEAN_TOLERANCES, "int8", 1.0)  # of random weights nothing is expected
    write_run(tmp_path / "run", "fast", 4)
    options = {"run_dir": str(tmp_path / "run"), "formats": ("tflite",), "calibration_dir": str(photo_dir)}
    manifest = export_run(ExportOptions(out=str(tmp_path / "out"), **options))
    assert [file.path for file in manifest.files] == [
        f"model_{precision}.tflite" for precision in ("float32", "float16", "int8")
    ]
    with pytest.raises(ConfigError, match="--calibration_dir is for int8 files: add tflite to --formats"):
        export_run(ExportOptions(out=str(tmp_path / "other"), **options | {"formats": ("onnx",)}))
    write_run(tmp_path / "label", "conditional", 4, ("ink", "oil"))
    with pytest.raises(ConfigError, match="int8 is for generators that take a photo alone; this one takes label"):
        export_run(ExportOptions(out=str(tmp_path / "other"), **options | {"run_dir": str(tmp_path / "label")}))
    assert not (tmp_path / "other").exists()
