"""Turns weights that the AnimeGAN authors published into a style folder (SavedModel, TFLite, ONNX), each file checked.

python tools/import_weights.py --source=AnimeGANv3_Shinkai_37.pb --out=out/shinkai

The weights are for non-commercial use and stay their authors'. So do the exported files, whatever the licence of this
package says.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from animegan_tf import images
from animegan_tf.errors import ConfigError
from animegan_tf.export.run import print_files
from animegan_tf.export.style_folder import FORMATS, check_formats, check_target, describe, write_style_folder
from animegan_tf.native import load_tensorflow
from animegan_tf.options import check_bounds, option, run_program

PURPOSE = "Turns published AnimeGAN, AnimeGANv2 or AnimeGANv3 weights (non-commercial) into a style folder."
LICENCE = "LicenseRef-AnimeGAN-noncommercial"
CREDITS = (
    "Weights published by the AnimeGAN authors (github.com/TachibanaYoshino): they stay theirs, for non-commercial use "
    "only; so do these files."
)
_PREVIEW_SIDE = 512


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """Options of this tool; see options.option."""

    source: str = option("", "frozen graph (.pb), or a TensorFlow 1 checkpoint: prefix, file or folder", "import")
    out: str = option("", "style folder to write", "import")
    formats: tuple[str, ...] = option(FORMATS, "files to write", "import")
    overwrite: bool = option(False, "replace --out where it exists", "import")
    name: str = option("", "name of the style; empty: the name of --out", "manifest")
    license: str = option(LICENCE, "SPDX identifier of the weights' licence", "manifest")
    credits: str = option(CREDITS, "whose weights these are, and under which terms", "manifest")
    preview_photo: str = option("", "photo for preview.jpg (photo beside result); empty: none", "manifest")

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in ("source", "out"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is needed.")
        check_formats(self.formats)
        if not (Path(self.source).exists() or Path(f"{self.source}.index").exists()):
            raise ConfigError(f"--source={self.source} does not exist.")


def import_weights(options: ImportOptions) -> None:
    """Writes the style folder and says what is in it."""
    out = Path(os.path.abspath(options.out))
    check_target(out, options.overwrite)
    preview = images.read_thumbnail(Path(options.preview_photo), _PREVIEW_SIDE) if options.preview_photo else None
    load_tensorflow("Importing weights")
    from animegan_tf.export.published import load_published
    from animegan_tf.models import GENERATORS

    generator = load_published(Path(options.source))
    manifest = describe(
        generator,
        name=options.name or out.name,
        system=next(name for name, kind in GENERATORS.items() if type(generator) is kind),
        recipe="published",
        licence=options.license,
        credits=options.credits,
    )
    written = write_style_folder(
        generator, manifest, out=out, formats=options.formats, overwrite=options.overwrite, preview=preview
    )
    print_files(out, written)
    print(options.out)


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code."""
    return run_program(ImportOptions, import_weights, program="import_weights", purpose=PURPOSE, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
