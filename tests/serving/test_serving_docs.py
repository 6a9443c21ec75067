"""docs/serving.md: its curl commands do what the page says, run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.images import read_picture
from animegan_tf.runtime.stylizer import Stylizer

PAGE = Path(__file__).resolve().parents[2] / "docs/serving.md"


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_curl_commands(rest, styles, photo, tmp_path):
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    script = script.replace("http://127.0.0.1:8501", rest).replace("hokusai", "plain")
    Image.fromarray(photo).save(tmp_path / "photo.jpg")
    (tmp_path / "python3").symlink_to(sys.executable)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "no_proxy": "*"}
    result = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0 and '"AVAILABLE"' in result.stdout and '"stylized_bytes"' in result.stdout
    expected = Stylizer.load(styles / "plain", "saved_model")(read_picture(tmp_path / "photo.jpg").pixels)
    np.testing.assert_array_equal(read_picture(tmp_path / "stylized.png").pixels, expected)


def test_the_limit_that_the_page_names():
    pytest.importorskip("tensorflow", reason="needs the extra train")
    from animegan_tf.export.saved_model import MAX_SERVED_PIXELS

    assert MAX_SERVED_PIXELS == 4096 * 4096 and "4096x4096" in PAGE.read_text(encoding="utf-8")
