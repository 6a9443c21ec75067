"""Tables, page and plot of a report with known figures; and that docs/performance.md holds what was measured."""

from pathlib import Path

import numpy as np
import pytest
from reports import report, row, size, whole_report

from animegan_tf.benchmark.plot import draw_plot
from animegan_tf.benchmark.report import END, START, read_report, to_markdown, with_results
from animegan_tf.benchmark.targets import judge_targets
from animegan_tf.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/performance.md"


@pytest.fixture
def measured() -> dict:
    found = whole_report()
    return found | {"targets": judge_targets(found)}


def test_the_tables_hold_the_figures(measured):
    lines = to_markdown(measured).splitlines()
    assert lines[0].startswith(
        "Measured on 2026-11-22: A Processor (AVX2), 2 cores, 25.3 GB, Linux x86_64, Python 3.11.7; load"
    )
    assert lines[0].endswith("0.1 to 0.2.") and lines[1] == "animegan-tf 0.1.0, numpy 2.4.6."
    assert lines[3] == "`python tools/benchmark.py --anchors=published`"
    for line in (
        "| `animegan image` of a 512x512 picture, from the shell | less than 0.7 s | 0.600 s (0.55 to 0.65) | yes |",
        "| peak memory of `animegan image`, 7680x4320 | less than 1.5 GB | 1.60 GB (TFLite float32) | **no** |",
        "| network | runtime | 512x512, ms | 1280x720, ms |",
        "| hokusai | TFLite int8 | 10.0 | 50.0 |",
        "| published v3 | TFLite float16 | 1,600 | - |",
        "Left out, because they take too long or too much memory: something large, TFLite float32 at 512.",
        "| hokusai | TFLite int8 | 10.0 | 10.0 to 15.0 | 2.00 | 200 | 2.00 |",
        "Fastest product of matrices in the rounds of each size, GMAC/s: "
        "512: 100 (NumPy 2048), 1280x720: 100 (NumPy 2048).",
        "| animegan image | TFLite int8 | 7680x4320 | 0.70 |",
        "| `python -c pass` | 0.025 | 0.022 to 0.028 |",
        "`animeganv2_hayao`, 256x256, batches of 12; given folders.",
        "| decoded for each sample | 300 | 295 to 305 |",
        "| all | 2,960 |",
    ):
        assert line in lines, line
    assert "0.49 of the fastest product of matrices (100.0, TensorFlow 2048)." in to_markdown(measured)


def test_what_was_not_measured_has_no_table():
    empty = report(memory={}) | {"targets": judge_targets(report())}
    text = to_markdown(empty)
    assert text.count("not measured") == 10 and "Peak memory" not in text and "every runtime" not in text


def test_a_page_keeps_its_words_and_gets_new_tables(measured):
    page = f"# Speed\n\nMethod.\n\n{START}\nold\n{END}\n\nMore.\n"
    written = with_results(page, measured)
    assert written.startswith(f"# Speed\n\nMethod.\n\n{START}\nMeasured on") and written.endswith(f"\n{END}\n\nMore.\n")
    assert "\nold\n" not in written and with_results(written, measured) == written
    with pytest.raises(ConfigError, match=r"^--page has no place for the results"):
        with_results("# Speed\n", measured)


def test_the_page_of_the_documents_holds_what_was_measured():
    text = PAGE.read_text(encoding="utf-8")
    assert with_results(text, read_report(PAGE.with_suffix(".json"))) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist: measure first"),
        ("{", "cannot be read"),
        ("[1]", "not the report"),
        ("{}", "not the rep"),
    ],
)
def test_a_report_that_is_none_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "benchmark.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_report(path)


def test_bars_are_as_long_as_their_times():
    part = size(
        row("a", "TFLite int8", [1.0, 1.0]),
        row("b", "TFLite float32", [10.0, 10.0], "system"),
        row("c", "TensorFlow float32", [100.0, 100.0], "published"),
    )
    plot = draw_plot(part, "512")
    assert plot.dtype == np.uint8 and plot.shape == (92 + 3 * 24 + 44, 430 + 620 + 110, 3)
    for number, (colour, length) in enumerate([((47, 111, 176), 1), ((138, 154, 168), 310), ((200, 116, 58), 620)]):
        line = plot[92 + 24 * number + 3]  # above the line between the quartiles
        assert np.all(line == colour, axis=-1).sum() == pytest.approx(length, abs=2)


def test_a_plot_of_equal_times_has_an_axis():
    assert draw_plot(size(row("a", "TFLite int8", [10.0])), "1280x720").shape[0] == 92 + 24 + 44
