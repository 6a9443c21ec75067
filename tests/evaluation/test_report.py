"""The table, the JSON and the contact sheet of figures that are given."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from animegan_tf.errors import ImageError
from animegan_tf.evaluation.cost import Cost
from animegan_tf.evaluation.report import contact_sheet, table, to_json, write
from animegan_tf.evaluation.scores import Evaluation, Scores


@pytest.fixture
def evaluation() -> Evaluation:
    cost = Cost(92208, 558_600_000, {"tflite float32": 383756, "tflite int8": 120_400}, 12.34)
    return Evaluation(
        photos=Scores("photos", 51, style_distance=0.693, flatness=0.187),
        style=Scores("style set", 36, flatness=0.134),
        results=(
            Scores("hokusai", 51, psnr=12.124, ssim=0.7164, style_distance=0.3672, style_ratio=0.53, cost=cost),
            Scores("a_long_name", 50, psnr=math.inf, flatness=0.2),
        ),
        settings={"backend": "tflite", "precision": "int8", "threads": 2},
        notes=("A note.",),
    )


def test_the_table_has_a_row_for_each_measure_and_a_column_for_each_set(evaluation):
    lines = table(evaluation).splitlines()
    width = lines[0].index("photos")
    rows = {line[:width].strip(): line[width - 2 :].split() for line in lines[1:-2]}
    assert lines[0].split() == ["photos", "style", "set", "hokusai", "a_long_name"]
    assert rows == {
        "pictures": ["51", "36", "51", "50"],
        "what is kept of the photo": [],
        "PSNR, dB": ["-", "-", "12.12", "inf"],
        "SSIM of luminance": ["-", "-", "0.716", "-"],
        "how near the style is": [],
        "style distance": ["0.693", "-", "0.367", "-"],
        "share of the photos' own": ["-", "-", "0.530", "-"],
        "areas and lines": [],
        "flat pixels, at 256": ["0.187", "0.134", "-", "0.200"],
        "cost": [],
        "parameters": ["-", "-", "92,208", "-"],
        "MMAC at 256x256": ["-", "-", "558.6", "-"],
        "kB, tflite float32": ["-", "-", "384", "-"],
        "kB, tflite int8": ["-", "-", "120", "-"],
        "ms at 512x512, tflite int8, threads 2": ["-", "-", "12.3", "-"],
    }
    assert lines[-2:] == ["", "A note."]
    ends = {len(line) for line in lines[:-2] if line.endswith("-") or "a_long" in line}
    assert len(ends) == 1  # aligned on the right


def test_the_json_holds_every_figure_and_no_infinity(evaluation):
    data = json.loads(to_json(evaluation))
    assert data["results"][0]["cost"] == {
        "parameters": 92208, "macs": 558600000, "latency_ms": 12.34,
        "bytes": {"tflite float32": 383756, "tflite int8": 120400},
    }  # fmt: skip
    assert data["results"][0]["style_ratio"] == 0.53 and data["results"][1]["psnr"] is None
    assert data["photos"]["name"] == "photos" and data["settings"]["threads"] == 2 and data["notes"] == ["A note."]


def test_files_are_written_where_they_are_wanted(evaluation, tmp_path):
    write(evaluation)
    write(evaluation, str(tmp_path / "new" / "figures.json"), str(tmp_path / "sheet.png"))
    assert [path.name for path in tmp_path.rglob("*.*")] == ["figures.json"]  # there is no sheet
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="Cannot write"):
        write(evaluation, str(tmp_path / "file" / "figures.json"))


def test_the_sheet_has_titles_and_pictures_in_their_places():
    red, wide = np.full((40, 40, 3), (255, 0, 0), np.uint8), np.full((50, 200, 3), (0, 0, 255), np.uint8)
    sheet = contact_sheet(
        ["photo", "a name that is far too long for its column"], [[red, wide], [wide, None]], cell=100
    )
    assert sheet.shape == (28 + 40 + 25 + 3 * 8, 2 * 108 + 8, 3)
    assert sheet[:28].min() == 0 and sheet[28:36].min() == 255  # black letters, then white
    assert (sheet[36:76, 38:78] == (255, 0, 0)).all()  # in the middle of its place, not enlarged
    assert (sheet[36:61, 116:216] == (0, 0, 255)).all() and (sheet[61:84] != (0, 0, 255)).any()
    assert (sheet[84:109, 8:108] == (0, 0, 255)).all() and sheet[84:109, 116:].min() == 255
    assert (sheet[8:28, 216:] == 255).all()  # the title is cut off
