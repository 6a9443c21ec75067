"""What is said of the machine, and the rate at which it multiplies."""

import functools

import pytest

from animegan_tf.benchmark import machine
from animegan_tf.benchmark.timing import Pace, interleave


def test_the_machine_says_what_it_is():
    found = machine.describe_machine()
    assert set(found) == {"processor", "instructions", "cores", "memory_gb", "system", "python", "packages"}
    assert found["cores"] >= 1 and found["memory_gb"] > 0 and found["processor"]
    assert {"animegan-tf", "tensorflow", "numpy", "ai-edge-litert", "onnxruntime"} <= set(found["packages"])


@pytest.mark.parametrize(
    ("flags", "known"),
    [
        ("fpu sse2 avx avx2 fma bmi2", ["AVX2"]),
        ("avx2 avx512f avx512_bf16 avx512_vnni", ["AVX2", "AVX-512", "AVX512-VNNI", "AVX512-BF16"]),
        ("fp asimd asimdhp asimddp i8mm", ["NEON", "FP16", "DotProd", "I8MM"]),
        ("", []),
    ],
)
def test_instructions_are_named_as_they_are_known(flags, known):
    assert machine.instructions(flags) == known


@pytest.mark.parametrize(("load", "busy"), [(None, False), (0.1, False), (0.5, False), (0.6, True), (6.0, True)])
def test_a_busy_machine_is_said_in_one_sentence(load, busy):
    note = machine.busy_note(load, 2)
    assert (note is not None) == busy
    if busy:
        assert note.startswith(f"The machine is not idle (load average {load:.1f} on 2 cores)") and note.endswith(".")


def test_the_rate_is_that_of_the_fastest_product():
    # 1024^3 = 1.0737e9 multiply-accumulates in 20 ms, the median, are 53.7 a nanosecond.
    times = {"NumPy 1024": {0: 30.0, 1: 20.0, 2: 10.0}, "TensorFlow 2048": {0: 200.0}}
    found = machine.best_rate(times)
    assert found["name"] == "NumPy 1024"
    assert found["gmacs_per_s"] == pytest.approx(53.687, abs=1e-3)
    assert found["all"]["TensorFlow 2048"] == pytest.approx(42.950, abs=1e-3)


def test_products_are_measured_and_make_sense():
    jobs = machine.matmul_jobs((64, 256))
    assert list(jobs) == ["NumPy 64", "TensorFlow 64", "NumPy 256", "TensorFlow 256"]
    left, right = jobs["NumPy 64"].load().args
    assert jobs["TensorFlow 64"].load()().numpy() == pytest.approx(left @ right, abs=1e-3)
    rate = machine.best_rate(interleave(jobs, Pace(rounds=2, seconds=1, turn=0.001, rest=0)))
    assert 0.01 < rate["gmacs_per_s"] < 1e5  # from a starved core to a very large server
    assert isinstance(jobs["NumPy 64"].load(), functools.partial)
