"""Makes a folder that TF Serving runs from: models with versions, warm-up requests, and its configuration.

python tools/make_serving.py --styles=hokusai --out=out/serving && docker compose --project-directory out/serving up -d
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from animegan_tf.errors import ConfigError, ExportError
from animegan_tf.export.serving import add_model, check_model, models_config
from animegan_tf.images import write_atomic
from animegan_tf.options import check_bounds, option, run_program
from animegan_tf.runtime.stylizer import find_style

PURPOSE = "Makes, or adds models to, a folder that TF Serving runs from."
CONFIGURATION = Path(__file__).resolve().parent.parent / "serving"
COPIED = ("docker-compose.yml", "batching_parameters.txt", "monitoring.config")


@dataclass(frozen=True, kw_only=True)
class MakeServingOptions:
    """Options of this tool; see options.option."""

    styles: tuple[str, ...] = option((), "styles to add, names or style folders", "serving")
    out: str = option("", "folder to write to; models that are in it stay", "serving")
    name: str = option("", "name of the model, for one style; empty: the style's", "serving")
    version: int = option(0, "its version; 0: the one after the newest", "serving", low=0)
    base_path: str = option(
        "/serving/models", "where the server sees OUT/models; this is what the compose file does", "serving"
    )

    def __post_init__(self) -> None:
        check_bounds(self)
        if not self.styles or not self.out:
            raise ConfigError("--styles and --out are needed.")
        if self.name and len(self.styles) > 1:
            raise ConfigError("--name is for one style.")
        if not self.base_path.startswith("/") or any(c in self.base_path for c in '"\\\n'):
            raise ConfigError(f"--base_path={self.base_path} must be an absolute path.")


def main(options: MakeServingOptions) -> None:
    """Adds the models and writes the configuration; prints the folders of the models."""
    out = Path(options.out)
    styles = [find_style(name) for name in options.styles]
    # All are checked before the first is added, so that a wrong one does not leave half of them.
    folders = [check_model(style, out / "models", options.name, options.version) for style in styles]
    if options.version and len(set(folders)) < len(folders):
        raise ConfigError("--version is for styles of different names: two of these have the same.")
    for style in styles:
        print(add_model(style, out / "models", options.name, options.version))
    write_atomic(out / "models.config", models_config(out / "models", options.base_path).encode())
    try:
        for name in COPIED:
            if not (out / name).exists():  # may have been changed by its user
                shutil.copyfile(CONFIGURATION / name, out / name)
    except OSError as error:
        raise ExportError(f"{out} cannot be written: {error.strerror or error}.") from None


if __name__ == "__main__":
    sys.exit(run_program(MakeServingOptions, main, program="make_serving", purpose=PURPOSE))
