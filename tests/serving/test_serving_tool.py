"""tools/serving_client.py and the batch behind it: files in, files out, one sentence for each that fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from animegan_tf.errors import UsageError
from animegan_tf.images import read_picture
from animegan_tf.runtime.serving.batch import Job, Summary, plan, stylize_files
from animegan_tf.runtime.serving.client import connect
from animegan_tf.runtime.stylizer import Stylizer

ROOT = Path(__file__).resolve().parents[2]


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "tools/serving_client.py"), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def holiday(photo, tmp_path) -> Path:
    """Returns a folder: a JPEG, one that EXIF turns, one with alpha in a sub-folder, a broken and a grey one."""
    folder = tmp_path / "holiday"
    (folder / "sea").mkdir(parents=True)
    picture = Image.fromarray(photo)
    picture.save(folder / "a.jpg", quality=95, icc_profile=_profile())
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", quality=95, exif=turned)
    Image.fromarray(np.dstack([photo, photo[:, :, 0]])).save(folder / "sea/alpha.png")
    picture.convert("L").save(folder / "grey.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("send", ["files", "pixels"])
def test_a_folder_goes_through_and_a_broken_file_is_one_sentence(rest, styles, holiday, tmp_path, send):
    out = tmp_path / "out"
    result = _run(f"--server={rest}", "--model=plain", f"--photos={holiday}", f"--out={out}", f"--send={send}")
    assert result.returncode == 1
    written = {"a_plain.jpg", "turned_plain.jpg", "sea/alpha_plain.png", "grey_plain.png"}
    assert {str(Path(line).relative_to(out)) for line in result.stdout.splitlines()} == written
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == written
    broken, summary, last = result.stderr.splitlines()
    assert broken == f"{holiday}/broken.jpg: not a picture that can be read (jpg, png, webp, gif, tif)."
    assert re.fullmatch(
        r"4 pictures, 1 failed, 0 requests sent again; [\d.]+ pictures/s; "
        r"a request took p50 \d+ ms, p90 \d+ ms, p99 \d+ ms",
        summary,
    )
    assert last == "serving_client: 1 of 5 pictures failed, see above."

    local = Stylizer.load(styles / "plain", "saved_model")
    for name, source in (("turned_plain.jpg", "turned.jpg"), ("a_plain.jpg", "a.jpg")):
        local(holiday / source, output=tmp_path / name)  # upright, with the profile, encoded the same
        assert (out / name).read_bytes() == (tmp_path / name).read_bytes()
    assert read_picture(out / "turned_plain.jpg").pixels.shape == (50, 37, 3)
    assert read_picture(out / "a_plain.jpg").icc_profile
    expected = local.stylize(read_picture(holiday / "sea/alpha.png").pixels)
    np.testing.assert_array_equal(read_picture(out / "sea/alpha_plain.png").pixels, expected)
    np.testing.assert_array_equal(
        read_picture(out / "sea/alpha_plain.png").alpha, read_picture(holiday / "sea/alpha.png").alpha
    )


def test_nothing_is_overwritten_unasked(rest, core, holiday, tmp_path):
    arguments = (f"--server={rest}", "--model=plain", f"--photos={holiday / 'a.jpg'}", f"--out={tmp_path / 'out'}")
    assert _run(*arguments).returncode == 0
    (tmp_path / "out/a_plain.jpg").write_text("mine")
    asked = core.asked
    result = _run(*arguments)
    assert result.returncode == 1 and core.asked == asked  # not even sent
    assert result.stderr.startswith(f"{holiday}/a.jpg: {tmp_path}/out/a_plain.jpg exists already; --overwrite replaces")
    assert (tmp_path / "out/a_plain.jpg").read_text() == "mine"
    assert _run(*arguments, "--overwrite").returncode == 0
    assert read_picture(tmp_path / "out/a_plain.jpg").pixels.shape == (37, 50, 3)


def test_labels_and_style_pictures(rest, styles, holiday, photo, tmp_path):
    out, common = (
        tmp_path / "out",
        (f"--server={rest}", f"--photos={holiday / 'grey.png'}", f"--out={tmp_path / 'out'}"),
    )
    grey = read_picture(holiday / "grey.png").pixels
    label = "--label=monet:3,hokusai:1"
    result = _run(*common, "--model=scenes", f"--style={styles / 'scenes'}", label)
    assert (result.returncode, result.stdout) == (0, f"{out}/grey_scenes-monet75-hokusai25.png\n"), result.stderr
    expected = Stylizer.load(styles / "scenes", "saved_model")(grey, label={"monet": 3, "hokusai": 1})
    np.testing.assert_array_equal(read_picture(out / "grey_scenes-monet75-hokusai25.png").pixels, expected)
    example = f"--style_image={holiday / 'a.jpg'}"
    result = _run(*common, "--model=painter", f"--style={styles / 'painter'}", example, "--variation=0")
    assert (result.returncode, result.stdout) == (0, f"{out}/grey_painter-a-0.png\n"), result.stderr


@pytest.mark.parametrize("show", ["status", "metadata"])
def test_what_a_server_says_of_a_model(rest, show):
    result = _run(f"--server={rest}", "--model=plain", f"--ask={show}")
    assert (result.returncode, result.stderr) == (0, "")
    expected = {
        "status": ["version 2: AVAILABLE", "version 1: AVAILABLE"],
        "metadata": [
            *("serve_bytes", "  takes   image_bytes [-1]", "  returns error [-1]", "  returns stylized_bytes [-1]"),
            *("serving_default", "  takes   image [-1, -1, -1, 3]", "  returns stylized [-1, -1, -1, 3]"),
        ],
    }[show]
    assert sorted(result.stdout.splitlines()) == sorted(expected)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--model=plain"], 2, "--photos and --out are needed, or --ask=status."),
        (["--photos=x", "--out=y", "--label=monet"], 2, "need --style, which says what there is to choose."),
        (
            ["--photos=x", "--out=y", "--model=scenes"],
            2,
            "Model scenes takes label: name its style folder with --style.",
        ),
        (["--photos=x", "--out=y", "--model=plein"], 1, "has no model 'plein'"),
        (["--photos=x", "--out=y", "--model=plain"], 2, "x: no such file or folder."),
        (["--photos=x", "--out=y", "--server=http://127.0.0.1:9", "--retries=0"], 1, "cannot be reached"),
        (["--ask=nothing"], 2, "--ask"),
        (["--ask=status", "--deadline=1e12"], 2, "86400"),
        (["--ask=status", "--deadline=nan"], 2, "--deadline=nan is below the smallest allowed value, 0.01."),
        (["--ask=status", "--server=http://a..b:8501"], 2, "'http://a..b:8501' is no model server"),
    ],
)
def test_one_sentence_and_an_exit_code(rest, arguments, code, sentence, tmp_path):
    result = _run(*([] if any("--server" in a for a in arguments) else [f"--server={rest}"]), *arguments)
    assert result.returncode == code and result.stdout == ""
    assert result.stderr.startswith("serving_client: ") and sentence in result.stderr and result.stderr.count("\n") == 1


def test_several_requests_are_under_way_at_once_and_a_slow_one_is_late_alone(loopback, core, photo, tmp_path):
    from model_server import Failure

    for number in range(7):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    jobs = [Job(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png") for number in range(7)]
    client = connect(loopback, "plain", deadline=1.5, retries=1)
    client.stylize_pixels(photo[None])
    core.faults.extend([0.2, 0.2, 0.2, Failure("INTERNAL", "out of memory"), 3.0, 0.2, 0.2])
    core.busiest, said = 0, {}
    summary = stylize_files(client, jobs, concurrency=3, report=lambda job, sentence: said.update({job: sentence}))
    # The server is still busy with the one that nobody waits for any more.
    assert core.busiest in (3, 4) and len(said) == 7
    failed = sorted(sentence for sentence in said.values() if sentence)
    assert len(failed) == summary.failed == 2 and len(summary.latencies) == 5
    assert any(re.fullmatch(rf"{tmp_path}/\d.png: {loopback} failed \(out of memory\)\.", line) for line in failed)
    assert any(f"{loopback} gave no answer within 1.5 s (deadline)." in line for line in failed)
    for job, sentence in said.items():
        assert job.target.exists() == (not sentence)
    assert min(summary.latencies) < 1.5 and sorted(summary.latencies)[-3] >= 0.2


def test_a_server_that_goes_down_in_the_middle(core, photo, tmp_path):
    from model_server import serve_rest

    for number in range(4):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    jobs = [Job(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png") for number in range(4)]
    with serve_rest(core) as address:
        client = connect(address, "plain", retries=1)
        assert stylize_files(client, jobs[:2], report=lambda *_: None).failed == 0
    said = []
    assert stylize_files(client, jobs[2:], report=lambda job, sentence: said.append(sentence)).failed == 2
    assert all("cannot be reached, after 2 attempts (Connection refused)" in sentence for sentence in said)


def test_the_summary_of_a_batch():
    summary = Summary(seconds=2.0, failed=1, latencies=[(n + 1) / 1000 for n in range(101)])
    assert summary.text(3) == (
        "101 pictures, 1 failed, 3 requests sent again; 50.5 pictures/s; "
        "a request took p50 51 ms, p90 91 ms, p99 100 ms"
    )
    assert Summary(failed=2).text() == "0 pictures, 2 failed, 0 requests sent again"


def test_the_plan(holiday, tmp_path):
    out = tmp_path / "out"
    jobs = plan([str(holiday / "a.jpg"), str(holiday), str(holiday / "a.jpg")], out, "ink")
    assert [str(job.target.relative_to(out)) for job in jobs] == [
        *("a_ink.jpg", "broken_ink.jpg", "grey_ink.png", "sea/alpha_ink.png", "turned_ink.jpg")
    ]
    (holiday / "out").mkdir()
    for result in ("a_ink.jpg", "turned_hokusai.jpg"):  # of earlier runs
        (holiday / "out" / result).write_bytes(b"")
    assert plan([str(holiday)], out, "ink") == jobs
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"/a\.jpg would be written to .*a_ink\.jpg, as .*holiday/a\.jpg is\."):
        plan([str(holiday), str(tmp_path / "a.jpg")], out, "ink")
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="none: no pictures in this folder."):
        plan([str(tmp_path / "none")], out, "ink")
