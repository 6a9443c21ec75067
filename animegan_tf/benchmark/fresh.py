"""Starts a program, and says how long it ran and how much memory it took: `python fresh.py PROGRAM ARGUMENT ...`.

It imports nothing of this package. On Linux a process begins with the peak memory of the one that started it: from a
benchmark that has loaded TensorFlow, every program would take as much.
"""

import json
import os
import sys
import time


def main(command: list[str]) -> None:
    """Runs `command` and prints {"seconds", "peak_mb", "code"} as the last line of stdout."""
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    peak = usage.ru_maxrss * unit / 1e6
    print(json.dumps({"seconds": seconds, "peak_mb": peak, "code": os.waitstatus_to_exitcode(status)}))


if __name__ == "__main__":
    main(sys.argv[1:])
