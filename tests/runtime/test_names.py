"""Names of results, and pictures that have one."""

from __future__ import annotations

from pathlib import Path

import pytest

from animegan_tf.runtime.names import results_among, styled_name


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("a.jpg", "a_tiny.jpg"),
        ("a.b.JPG", "a.b_tiny.JPG"),
        ("a.gif", "a_tiny.png"),
        ("a.bmp", "a_tiny.png"),
        ("a", "a_tiny.png"),
    ],
)
def test_styled_name(name, result):
    assert styled_name(name, "tiny") == result


@pytest.mark.parametrize(
    ("pictures", "results"),
    [
        (["a.jpg", "a_ink.jpg", "b.jpg"], {"a_ink.jpg"}),
        (["a.gif", "out/a_ink.png", "out/a_oil.png"], {"out/a_ink.png", "out/a_oil.png"}),
        (["a.jpg", "a_ink.jpg", "a_ink_oil.jpg"], {"a_ink.jpg", "a_ink_oil.jpg"}),
        (["blue_ink.jpg", "b.jpg", "pen_ink"], set()),  # nobody's result
        (["a.jpg", "a_wash.jpg"], set()),  # no style
    ],
)
def test_results_are_known_by_their_photo(pictures, results):
    assert results_among([Path(name) for name in pictures], ["ink", "oil"]) == {Path(name) for name in results}
