"""Cuts the faces out of a folder of photos, upright and of one size, with five landmarks each, or annotates photos.

python tools/align_faces.py --photo_dir=data/people --out=data/faces
python tools/align_faces.py --photo_dir=data/photo --out=data/photo_landmarks --annotate_only
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from animegan_tf.data import faces
from animegan_tf.errors import ConfigError, ImageError
from animegan_tf.native import load_tensorflow
from animegan_tf.options import check_bounds, option, run_program


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """Options of this tool; see options.option."""

    photo_dir: str = option("", "folder of photos, searched recursively", "faces")
    out: str = option("", "folder to write to; it gets the sub-folders of --photo_dir", "faces")
    size: int = option(256, "side of the aligned faces in px", "faces", low=32, high=2048)
    format: str = option("png", "file format of the aligned faces", "faces", choices=("png", "jpg"))
    min_confidence: float = option(0.95, "leave out faces of which the detector is less sure", "faces", low=0, high=1)
    min_face_size: int = option(40, "leave out faces with a smaller box, in px of the photo", "faces", low=20)
    largest_only: bool = option(False, "one face per photo, NAME; otherwise all, NAME_0, NAME_1 ...", "faces")
    annotate_only: bool = option(False, "no faces: the landmarks of each photo's largest face, NAME.json", "faces")
    overwrite: bool = option(False, "replace files that are in --out already", "faces")

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.photo_dir or not self.out:
            raise ConfigError("--photo_dir and --out are needed.")


def align(options: AlignOptions) -> None:
    """Writes the folder; raises ImageError at the end when some pictures could not be read."""
    load_tensorflow("Finding faces")  # silences its notes
    detect = faces.load_detector(options.min_face_size)
    result = faces.align_folder(
        Path(options.photo_dir),
        Path(options.out),
        detect,
        size=None if options.annotate_only else options.size,
        suffix=f".{options.format}",
        min_confidence=options.min_confidence,
        largest_only=options.largest_only,
        overwrite=options.overwrite,
        progress=sys.stderr.isatty(),
    )
    for sentence in result.failed:
        print(sentence, file=sys.stderr)
    done = f"{result.faces} faces in {result.pictures} pictures written to {options.out}"
    print(f"{done}; {len(result.faceless)} pictures without a face skipped")
    if result.failed:
        raise ImageError(f"{len(result.failed)} pictures could not be used, see above.")


if __name__ == "__main__":
    purpose = (
        "Aligns the faces of a folder of photos and writes five landmarks for each, or for the photos as they are."
    )
    sys.exit(run_program(AlignOptions, align, program="align_faces", purpose=purpose))
