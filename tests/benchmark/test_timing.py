"""Interleaving, medians and ratios, with a clock that the jobs themselves move."""

import functools

import pytest

from animegan_tf.benchmark.timing import Job, Pace, interleave, ratio, ready, summary


class Clock:
    """A clock that stands still unless a job moves it; keeps who was called."""

    def __init__(self):
        self.now, self.calls, self.loads, self.rests = 0.0, [], [], 0.0

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.rests += seconds

    def job(self, name: str, seconds, resident: bool = True) -> Job:
        """Returns a job whose k-th call takes seconds(k), or always `seconds`."""

        def run() -> None:
            count = self.calls.count(name)
            self.calls.append(name)
            self.now += seconds(count) if callable(seconds) else seconds

        def load():
            self.loads.append(name)
            return run

        return Job(load, resident)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock):
    return functools.partial(interleave, clock=clock, rest=clock.rest)


def test_every_round_has_every_job_and_the_time_is_its_own(clock, timed):
    jobs = {"a": clock.job("a", 0.5), "b": clock.job("b", 0.2), "c": clock.job("c", 1.0)}
    times = timed(jobs, Pace(rounds=4, seconds=100, turn=0.1, rest=0.25))
    assert clock.calls[:6] == ["a", "a", "b", "b", "c", "c"]  # to warm up
    rounds = [clock.calls[start : start + 3] for start in range(6, 18, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 1  # no job always follows the same one
    assert times["a"] == pytest.approx(dict.fromkeys(range(4), 500.0))
    assert times["b"] == pytest.approx(dict.fromkeys(range(4), 200.0))
    assert clock.rests == pytest.approx(12 * 0.25) and clock.loads == ["a", "b", "c"]


def test_a_fast_job_is_called_until_its_turn_is_over_and_the_median_counts(clock, timed):
    # Each turn begins with a call that is not timed; of the timed ones every third takes long.
    jobs = {"fast": clock.job("fast", lambda count: 0.05 if count % 3 == 2 else 0.02)}
    times = timed(jobs, Pace(rounds=1, seconds=100, turn=0.1))
    assert times == {"fast": {0: pytest.approx(20.0)}}  # not timed: 3; timed: 0.02, 0.02, 0.05, 0.02
    assert len(clock.calls) == 2 + 1 + 4


def test_slow_jobs_take_part_in_fewer_rounds_that_all_others_have(clock, timed):
    jobs = {"fast": clock.job("fast", 0.5), "slow": clock.job("slow", 2.0), "slowest": clock.job("slowest", 50.0)}
    times = timed(jobs, Pace(rounds=9, seconds=12))
    assert [sorted(times[name]) for name in jobs] == [list(range(9)), [0, 2, 4, 6, 8], [0, 4, 8]]
    assert clock.calls.count("slowest") == 1 + 3  # warmed up by one call


@pytest.mark.parametrize(
    ("rounds", "seconds", "estimate", "stride"),
    [(9, 12, 1.0, 1), (9, 12, 1.4, 2), (9, 12, 99, 4), (3, 1, 99, 1), (1, 0, 99, 1), (20, 0, 1, 8), (9, 12, 2.4, 2)],
)
def test_three_rounds_stay(rounds, seconds, estimate, stride):
    assert Pace(rounds, seconds).stride(estimate) == stride


def test_what_cannot_stay_in_memory_is_loaded_and_warmed_up_for_each_turn(clock, timed):
    jobs = {"kept": clock.job("kept", 0.5), "loaded": clock.job("loaded", lambda count: 0.7, resident=False)}
    times = timed(jobs, Pace(rounds=2, seconds=100))
    assert clock.loads.count("kept") == 1 and clock.loads.count("loaded") == 3
    assert clock.calls.count("kept") == 2 + 2 and clock.calls.count("loaded") == 2 + 2 * 2
    assert times["loaded"] == pytest.approx({0: 700.0, 1: 700.0})


def test_a_summary_is_of_medians_and_quartiles():
    assert summary([4.0, 1.0, 3.0, 2.0, 10.0]) == {
        "median": 3.0, "low": 2.0, "high": 4.0, "min": 1.0, "max": 10.0, "rounds": 5,
    }  # fmt: skip
    assert summary([7.0]) == {"median": 7.0, "low": 7.0, "high": 7.0, "min": 7.0, "max": 7.0, "rounds": 1}


def test_a_ratio_is_taken_round_by_round():
    # The machine was twice as slow in round 4: both were, and their ratio stays.
    slow, fast = {0: 30.0, 2: 33.0, 4: 60.0}, {0: 10.0, 1: 99.0, 2: 10.0, 4: 20.0}
    assert ratio(slow, fast) == summary([3.0, 3.3, 3.0])
    assert ratio({1: 5.0}, {0: 5.0}) is None


def test_a_ready_function_is_its_own_job():
    def run():
        return 3

    job = ready(run)
    assert job.resident and job.load() is run
