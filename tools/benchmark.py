"""Measures speed, memory, start-up, the input pipeline and a training step: JSON, tables and a plot in one folder.

python tools/benchmark.py --overwrite --anchors=PUBLISHED     everything, beside published models
python tools/benchmark.py --resume --anchors=PUBLISHED        the rest of a run that was cut
python tools/benchmark.py --page=docs/performance.md          nothing new: the tables into the page
"""

import sys

from animegan_tf.benchmark.options import PURPOSE, BenchmarkOptions
from animegan_tf.benchmark.run import run_benchmark
from animegan_tf.options import run_program

if __name__ == "__main__":
    sys.exit(run_program(BenchmarkOptions, run_benchmark, program="benchmark", purpose=PURPOSE))
