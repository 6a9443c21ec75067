"""errors: messages a user can act on, exit codes, and the drawn tree."""

from __future__ import annotations

import pytest

from animegan_tf import errors
from animegan_tf.errors import AnimeganError, MissingExtraError, UnknownNameError, UsageError

ALL_ERRORS = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, AnimeganError)]


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_exit_code_is_2_for_bad_usage_and_1_for_failed_work(error):
    assert error.exit_code == (2 if issubclass(error, UsageError) else 1)


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_every_error_is_in_the_tree_that_the_module_draws(error):
    assert error.__name__ in errors.__doc__


def test_unknown_name_lists_the_known_ones_sorted_and_the_nearest():
    error = UnknownNameError("style", "hokusay", {"monet": 1, "hokusai": 2})
    assert str(error) == "Unknown style 'hokusay': known are hokusai, monet. Did you mean 'hokusai'?"


def test_unknown_name_without_any_known_or_near_one():
    assert str(UnknownNameError("style", "x", [])) == "Unknown style 'x': known are none."


@pytest.mark.parametrize(
    ("extra", "line"), [("onnx", "pip install 'animegan-tf[onnx]'"), (None, "pip install onnxruntime")]
)
def test_missing_extra_holds_the_exact_pip_line(extra, line):
    error = MissingExtraError("onnxruntime", extra, "The onnx backend")
    assert str(error) == f"The onnx backend needs onnxruntime: {line}"
