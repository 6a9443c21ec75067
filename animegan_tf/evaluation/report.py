"""An evaluation for readers: a table, JSON, a contact sheet."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from animegan_tf import images
from animegan_tf.evaluation.cost import LATENCY_SIDE, MACS_SIDE
from animegan_tf.evaluation.scores import Evaluation, Scores

# Measure, how it is called, how it is written. An empty measure is a heading.
_ROWS = (
    ("", "what is kept of the photo", ""),
    ("psnr", "PSNR, dB", ".2f"),
    ("ssim", "SSIM of luminance", ".3f"),
    ("edge_correlation", "edge correlation", ".3f"),
    ("content_distance", "content distance", ".3f"),
    ("fid_photo", "FID to the photos", ".3f"),
    ("kid_photo", "KID to the photos", ".4f"),
    ("", "how near the style is", ""),
    ("style_distance", "style distance", ".3f"),
    ("style_ratio", "  share of the photos' own", ".3f"),
    ("fid_style", "FID to the style set", ".3f"),
    ("kid_style", "KID to the style set", ".4f"),
    ("gradient_distance", "gradient distance, levels", ".2f"),
    ("", "areas and lines", ""),
    ("flatness", "flat pixels, at 256", ".3f"),
    ("flatness_native", "flat pixels, at full size", ".3f"),
    ("strong_edges", "strong gradients, at 256", ".3f"),
    ("mean_gradient", "mean gradient, levels", ".1f"),
    ("grid", "grid in calm areas, levels", ".3f"),
    ("", "film", ""),
    ("warping_error", "warping error, levels", ".2f"),
)
_CELL = 320
_GAP = 8
_TITLE = 28


def table(evaluation: Evaluation) -> str:
    """Returns the table as text: a row for each measure that somebody has, a column for each set; then the notes."""
    columns = evaluation.columns
    rows = [("", *(scores.name for scores in columns)), ("pictures", *(str(scores.pictures) for scores in columns))]
    for measure, title, form in _ROWS:
        values = [getattr(scores, measure) if measure else None for scores in columns]
        if not measure:
            rows.append((title,))
        elif any(value is not None for value in values):
            rows.append((f"  {title}", *("-" if value is None else f"{value:{form}}" for value in values)))
    rows += _cost_rows(columns, evaluation.settings)
    # A heading without rows below it goes.
    rows = [row for row, after in zip(rows, [*rows[1:], ("",)], strict=True) if len(row) > 1 or len(after) > 1]
    first = max(len(row[0]) for row in rows)
    widths = [max(len(row[number]) for row in rows if len(row) > 1) for number in range(1, len(columns) + 1)]
    lines = [
        f"{row[0]:<{first}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths, strict=False))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in [*lines, "", *evaluation.notes]).rstrip()


def to_json(evaluation: Evaluation) -> str:
    """Returns everything but the sheet as JSON; infinite values are null, as what does not apply."""
    data = {name: getattr(evaluation, name) for name in ("settings", "notes", "photos", "style", "results")}
    return json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write(evaluation: Evaluation, json_path: str = "", sheet_path: str = "") -> None:
    """Writes JSON and contact sheet to those paths that are not empty. Raises ImageError when one cannot be."""
    if json_path:
        images.write_atomic(Path(json_path), to_json(evaluation).encode())
    if sheet_path and evaluation.sheet is not None:
        images.write_picture(Path(sheet_path), images.Picture(evaluation.sheet))


def contact_sheet(titles: Sequence[str], rows: Iterable[Sequence[np.ndarray | None]], cell: int = _CELL) -> np.ndarray:
    """Returns pictures side by side under their titles, [H, W, 3] uint8 RGB on white.

    Args:
      titles: one for each column; cut off where they are too long.
      rows: [h, w, 3] uint8 RGB, or None for an empty place; shrunk to fit a square of `cell` pixels.
    """
    shrunk = [[thumbnail(pixels, cell) for pixels in row] for row in rows]
    heights = [max((pixels.shape[0] for pixels in row if pixels is not None), default=0) for row in shrunk]
    width = len(titles) * (cell + _GAP) + _GAP
    sheet = Image.new("RGB", (width, _TITLE + sum(heights) + _GAP * (len(heights) + 1)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=16)
    for column, title in enumerate(titles):
        left = _GAP + column * (cell + _GAP)
        draw.text((left, _GAP), _fitting(title, font, cell), fill="black", font=font)
        top = _TITLE + _GAP
        for row, height in zip(shrunk, heights, strict=True):
            pixels = row[column]
            if pixels is not None:
                sheet.paste(Image.fromarray(pixels), (left + (cell - pixels.shape[1]) // 2, top))
            top += height + _GAP
    return np.asarray(sheet)


def thumbnail(pixels: np.ndarray | None, side: int = _CELL) -> np.ndarray | None:
    """Returns [h, w, 3] uint8 RGB shrunk to fit a square of `side` pixels."""
    if pixels is None:
        return None
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _cost_rows(columns: Sequence[Scores], settings: dict) -> list[tuple[str, ...]]:
    costs = [scores.cost for scores in columns]
    if not any(costs):
        return []
    rows: list[tuple[str, ...]] = [("cost",)]

    def add(title: str, values: list, form: str) -> None:
        if any(value is not None for value in values):
            rows.append((f"  {title}", *("-" if value is None else f"{value:{form}}" for value in values)))

    add("parameters", [cost and cost.parameters for cost in costs], ",")
    millions = [cost.macs / 1e6 if cost and cost.macs is not None else None for cost in costs]
    add(f"MMAC at {MACS_SIDE}x{MACS_SIDE}", millions, ",.1f")
    for file in dict.fromkeys(name for cost in costs if cost for name in cost.bytes):
        sizes = [cost.bytes.get(file) if cost else None for cost in costs]
        add(f"kB, {file}", [None if size is None else size / 1000 for size in sizes], ",.0f")
    how = f"{settings.get('backend', '')} {settings.get('precision', '')}".strip()
    title = f"ms at {LATENCY_SIDE}x{LATENCY_SIDE}, {how}, threads {settings.get('threads', '?')}"
    add(title, [cost and cost.latency_ms for cost in costs], ",.1f")
    return rows


def _fitting(title: str, font: Any, width: int) -> str:
    if font.getlength(title) <= width:
        return title
    while title and font.getlength(f"{title}…") > width:
        title = title[:-1]
    return f"{title}…"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
