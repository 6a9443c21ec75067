"""Section pipeline: what one pipeline makes ahead is not taken from the time of the other."""

import threading
import time

from animegan_tf.benchmark import pipeline


def test_the_work_of_others_is_waited_for():
    end = time.monotonic() + 0.6

    def work():
        while time.monotonic() < end:
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    pipeline._wait_until_idle()
    assert time.monotonic() >= end
    thread.join()


def test_it_is_not_waited_for_ever(monkeypatch):
    monkeypatch.setattr(pipeline, "_PATIENCE", 0.2)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    start = time.monotonic()
    pipeline._wait_until_idle()
    assert time.monotonic() - start < 2
    stop.set()
    thread.join()
