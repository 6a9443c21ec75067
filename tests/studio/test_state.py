"""What a work folder remembers: round trip, other arguments, damage, two processes, durations."""

from __future__ import annotations

import sys

import pytest

from animegan_tf.errors import ConfigError
from animegan_tf.studio import state
from animegan_tf.studio.state import Clock, State, check_same, in_words, locked, read_state, write_state


def test_a_state_comes_back_equal(tmp_path):
    kept = State(
        {"minutes": 5.0, "recipe": "é"},
        {"steps_per_epoch": 7, "precision": "float32"},
        [1.0, 2.0],
        50.0,
        12.5,
        ["check"],
    )
    assert read_state(tmp_path) is None
    write_state(tmp_path, kept)
    assert read_state(tmp_path) == kept


@pytest.mark.parametrize("text", ["{", "[]", '{"said": {}, "colour": 1}', '{"said": {}, "version": 2}'])
def test_a_damaged_state_is_one_sentence(tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ConfigError, match=f"state.json cannot be read .*: remove {tmp_path} to start anew") as caught:
        read_state(tmp_path)
    assert "\n" not in str(caught.value)


def test_other_arguments_are_refused_and_named(tmp_path):
    kept = State({"style_dir": "/a", "minutes": 5.0, "change": ""})
    check_same(kept, {"style_dir": "/a", "minutes": 5.0, "change": ""}, tmp_path)
    with pytest.raises(ConfigError, match="was started with --style_dir=/a --minutes=5.0: go on with that"):
        check_same(kept, {"style_dir": "/b", "minutes": 6.0, "change": ""}, tmp_path)


def test_the_clock_goes_on_from_what_was_used(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    clock = Clock(60.0, 20.0)
    now[0] += 15
    assert (clock.spent, clock.left) == (35.0, 25.0)
    now[0] += 30
    assert clock.left == -5.0


@pytest.mark.skipif(sys.platform == "win32", reason="locks are POSIX's")
def test_two_commands_do_not_share_a_work_folder(tmp_path):
    with locked(tmp_path / "work"):
        with pytest.raises(ConfigError, match="Another process works in .*work."):
            with locked(tmp_path / "work"):
                raise AssertionError
    with locked(tmp_path / "work"):
        pass


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="The work folder .*file/work cannot be written to: Not a directory"):
        with locked(tmp_path / "file/work"):
            raise AssertionError


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (4.4, "4 s"),
        (89, "89 s"),
        (91, "2 min"),
        (3599, "60 min"),
        (7199, "2 h 00 min"),
        (11100, "3 h 05 min"),
    ],
)
def test_durations_are_in_words(seconds, text):
    assert in_words(seconds) == text
