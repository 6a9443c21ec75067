"""Writes the edge-smoothed copies of a folder of style pictures (AnimeGAN's fourth stream), as PNG.

python tools/smooth_edges.py --style_dir=data/hayao --out=data/hayao_smooth --size=256
"""

from __future__ import annotations

import sys
from pathlib import Path

from absl import app, flags

from animegan_tf import errors
from animegan_tf.data import edges

_STYLE_DIR = flags.DEFINE_string("style_dir", None, "Folder of style pictures; sub-folders count.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder to write to, outside of --style_dir.", required=True)
_SIZE = flags.DEFINE_integer(
    "size",
    0,
    "Reduce pictures to this short side before smoothing: training's image_size / crop_min. 0 leaves them as they are, "
    "which is right only if they have that size already.",
    lower_bound=0,
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files that are in --out already.")


def main(argv: list[str]) -> int:
    """Returns the exit code: 0 all written, 1 some pictures failed, 2 nothing started."""
    if len(argv) > 1:
        print(f"Unexpected argument {argv[1]!r}: name folders by --style_dir and --out.", file=sys.stderr)
        return 2
    try:
        written, failed = edges.smooth_folder(
            Path(_STYLE_DIR.value),
            Path(_OUT.value),
            size=_SIZE.value or None,
            overwrite=_OVERWRITE.value,
            progress=sys.stderr.isatty(),
        )
    except (errors.UsageError, errors.DataError) as error:
        print(error, file=sys.stderr)
        return 2
    for sentence in failed:
        print(sentence, file=sys.stderr)
    print(f"{len(written)} pictures written to {_OUT.value}, {len(failed)} failed.")
    return 1 if failed else 0


def _parse(argv: list[str]) -> list[str]:
    # absl's own parser ends with exit code 1 and several lines.
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(str(error).replace("\n", " "), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
