"""Fixtures for the command line: a folder of photos and styles to work in."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from animegan_tf.runtime import stylizer


@pytest.fixture
def workplace(tiny_style, tmp_path, monkeypatch):
    """Enters a folder with photos of 12x8, and 'hokusai' as the only style that ships (the tiny style's files).

    a.jpg  photos/{b.png, c.gif, sub/d.jpg}  clash/{e.gif, e.png}  text.png  empty/  taken.png  w[1].png
    """
    for name in ("photos/sub", "clash", "empty", "styles"):
        (tmp_path / name).mkdir(parents=True)
    for number, name in enumerate(
        ("a.jpg", "photos/b.png", "photos/c.gif", "photos/sub/d.jpg", "clash/e.gif", "clash/e.png", "w[1].png")
    ):
        Image.new("RGB", (12, 8), (20 * number, 100, 200)).save(tmp_path / name)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "taken.png").write_text("precious")
    shutil.copytree(tiny_style, tmp_path / "styles" / "hokusai")
    manifest = tmp_path / "styles" / "hokusai" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tiny"', '"hokusai"'))
    monkeypatch.setattr(stylizer, "_STYLES_FOLDER", tmp_path / "styles")
    monkeypatch.chdir(tmp_path)
    return tmp_path
