"""The margin of an exported style: as much as zero padding's frame needs with these weights."""

import numpy as np
import pytest
from drawn import draw_photo
from keras import layers

from animegan_tf.export import margin, parity, run
from animegan_tf.export.margin import _has_frame, fit_margin
from animegan_tf.manifest import read_manifest
from animegan_tf.models import Generator

WHITE = np.full((48, 64, 3), 255, np.uint8)


class Taps(Generator):
    """Half of the pixel itself, and something of those `offset` pixels beside it."""

    published_width = 1
    size_multiple = 4
    margin = 8
    receptive_radius = 10

    def __init__(self, taps: dict[int, float], **kwargs):
        super().__init__(0, **kwargs)
        self.shares = {0: 0.5, **taps}
        self.tap = layers.Conv2D(3, (1, 21), padding="same", use_bias=False)

    def call(self, photo, training=False):
        return self.tap(photo)

    def with_taps(self):
        self(np.zeros((1, 4, 4, 3), "float32"))
        kernel = np.zeros((1, 21, 3, 3), "float32")
        for offset, share in self.shares.items():
            kernel[0, 10 + offset] = share * np.eye(3)
        self.tap.kernel.assign(kernel)
        return self


@pytest.mark.parametrize(
    ("taps", "width"),
    [
        ({}, 0),
        ({3: 0.1, -3: 0.1}, 4),  # on white a pixel at the border lacks 0.1, unless its neighbours are 4 px of margin
        ({4: 0.1}, 4),
        ({5: 0.1}, 8),
        ({3: 0.1, 10: 0.0156}, 4),  # two levels are 0.0157
        ({3: 0.1, -10: 0.0158}, 12),
    ],
)
def test_on_a_flat_picture_nothing_changes_by_two_levels(taps, width):
    network = Taps(taps).with_taps()
    assert fit_margin(network, [WHITE, WHITE[:30, :33]]) == width
    assert network.margin == 8


@pytest.mark.parametrize(("levels", "seen"), [(3.9, False), (4.1, True)])
@pytest.mark.parametrize("side", range(4))
def test_in_photos_a_side_that_shifts_is_a_frame(levels, seen, side):
    changes = [np.zeros((24, 32, 3), np.float32) for _ in range(3)]
    for change in changes:
        np.rot90(change, side)[2, :, 1] = levels / 127.5
    assert _has_frame(changes) is seen


@pytest.mark.parametrize(("levels", "seen"), [(4.9, False), (5.1, True)])
def test_in_photos_changes_of_either_sign_are_a_frame(levels, seen):
    change = np.zeros((24, 32, 3), np.float32)
    change[:, 0] = np.where(np.arange(24) % 2, levels, -levels)[:, None] / 127.5
    assert _has_frame([change]) is seen


def test_statistics_of_the_whole_picture_keep_the_margin_of_their_kind(monkeypatch):
    network = Taps({3: 0.1}).with_taps()
    monkeypatch.setattr(Taps, "receptive_radius", None)
    assert fit_margin(network, [WHITE]) == 8
    monkeypatch.undo()
    monkeypatch.setattr(Taps, "margin", 0)
    assert fit_margin(network, [WHITE]) == 0


def test_an_export_on_photos_writes_the_margin_that_was_measured(tmp_path, write_run, monkeypatch):
    write_run(tmp_path / "run", "fast", 4)
    monkeypatch.setattr(parity, "SIZES", ((64, 64),))
    monkeypatch.setitem(parity.MEAN_TOLERANCES, "int8", 1.0)  # of random weights nothing is expected
    monkeypatch.setattr(run, "read_calibration", lambda folder: [draw_photo(seed, 48, 64) for seed in range(12)])
    monkeypatch.setattr(margin, "fit_margin", lambda generator, photos: fit_margin(generator, photos) and 16)
    options = run.ExportOptions(
        run_dir=str(tmp_path / "run"), out=str(tmp_path / "out"), formats=("tflite",), calibration_dir="photos"
    )
    run.export_run(options)
    assert read_manifest(tmp_path / "out").margin == 16
