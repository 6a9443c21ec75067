"""Writes the edge-smoothed copies of a folder of style pictures (AnimeGAN's fourth stream), as PNG.

python tools/smooth_edges.py --style_dir=data/hayao --out=data/hayao_smooth --size=256
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from animegan_tf.data.edges import smooth_folder
from animegan_tf.errors import ConfigError, ImageError
from animegan_tf.options import check_bounds, option, run_program


@dataclass(frozen=True, kw_only=True)
class SmoothOptions:
    """Options of this tool; see options.option."""

    style_dir: str = option("", "folder of style pictures, searched recursively", "smoothing")
    out: str = option("", "folder to write to, outside of --style_dir", "smoothing")
    size: int = option(
        0, "reduce to this short side first: training's image_size / style_crop_min; 0: as is", "smoothing", low=0
    )
    overwrite: bool = option(False, "replace files that are in --out already", "smoothing")

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.style_dir or not self.out:
            raise ConfigError("--style_dir and --out are needed.")


def smooth(options: SmoothOptions) -> None:
    """Writes the folder; raises ImageError at the end when some pictures could not be read."""
    written, failed = smooth_folder(
        Path(options.style_dir),
        Path(options.out),
        size=options.size or None,
        overwrite=options.overwrite,
        progress=sys.stderr.isatty(),
    )
    for sentence in failed:
        print(sentence, file=sys.stderr)
    print(f"{len(written)} pictures written to {options.out}")
    if failed:
        raise ImageError(f"{len(failed)} pictures could not be smoothed, see above.")


if __name__ == "__main__":
    purpose = "Writes edge-smoothed copies of style pictures for --smooth_dir."
    sys.exit(run_program(SmoothOptions, smooth, program="smooth_edges", purpose=purpose))
