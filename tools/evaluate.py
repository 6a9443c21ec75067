"""Measures styles, and results of any program, on a folder of photos: a table, JSON, a contact sheet.

python tools/evaluate.py --styles=hokusai,out/mine --photo_dir=PHOTOS --style_dir=STYLE
"""

from __future__ import annotations

import sys

from animegan_tf.evaluation.report import table, write
from animegan_tf.evaluation.run import EvaluateOptions, evaluate
from animegan_tf.options import run_program

PURPOSE = "Measures what styles keep of photos, how near they come to style pictures, and what they cost."


def main(options: EvaluateOptions) -> None:
    """Prints the table; writes the figures and the contact sheet where --json and --sheet say so."""
    evaluation = evaluate(options)
    print(table(evaluation))
    write(evaluation, options.json, options.sheet)


if __name__ == "__main__":
    sys.exit(run_program(EvaluateOptions, main, program="evaluate", purpose=PURPOSE))
