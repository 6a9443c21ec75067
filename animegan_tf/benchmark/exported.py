"""Generators exported for the benchmark: untrained ones of the recipes, and published weights in our formats.

They are kept below --out and taken again as long as the recipe or the weights, and the code that makes them, are the
same.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from animegan_tf.benchmark.contestants import GRAPH, Contestant, style_contestants
from animegan_tf.benchmark.options import NONE, BenchmarkOptions
from animegan_tf.config import TrainConfig
from animegan_tf.export.style_folder import FORMATS, describe, write_style_folder
from animegan_tf.manifest import MANIFEST_NAME
from animegan_tf.native import load_tensorflow
from animegan_tf.recipe_files import list_recipes, read_flagfile

if TYPE_CHECKING:
    from animegan_tf.models import Generator

IMPORTED = "imported v3 Shinkai"
SMALL = 512 * 512
"""Pictures up to which generators are timed that the targets do not mention."""

_PACKAGE = Path(__file__).resolve().parent.parent
_ROOMS = ("models", "export")
# In a style folder a generator takes as many labels as it has classes.
_CLASSES = ("first", "second", "third")
_SHIPPED = "fast"  # the generator of the shipped styles, which are timed as they are
COMPARED = "animeganv2_hayao"
"""The recipe whose generator a target is about: it is written in every format."""


@dataclasses.dataclass(frozen=True)
class Export:
    """A style folder to be made: its network, as it is called in tables, what makes it, and which files.

    source: the recipe or the published weights that `build` reads.
    """

    network: str
    source: Path
    build: Callable[[], Generator]
    formats: Sequence[str] = ("tflite",)
    precisions: Sequence[str] = ("float32",)
    up_to: int = SMALL


def exported_contestants(options: BenchmarkOptions) -> list[Contestant]:
    """Returns the contestants of the systems and of the imported weights that `options` name, exported where needed.

    AnimeGANv2's is written in every format, and with int8 products as far as its norms allow; of the other systems the
    float32 TFLite file is, and is timed for small pictures.

    Raises:
      CheckpointError: the published weights cannot be read. ExportError: a file differs from its network.
    """
    exports = [_system(name, options.width) for name in system_recipes(options.systems)]
    if options.anchors:
        graph = Path(options.anchors) / GRAPH
        exports.append(Export(IMPORTED, graph, lambda: _imported(graph), FORMATS, up_to=0))
    found = []
    for export in tqdm(exports, desc="exporting networks", leave=False, disable=None):
        folder = write_export(export, Path(options.out) / "networks")
        found += style_contestants(str(folder), "system", export.network, export.up_to)
    return found


def system_recipes(named: tuple[str, ...]) -> list[str]:
    """Returns the recipes `named`; of none named the first of each generator except the shipped styles' and smoke's."""
    if named:
        return [] if named == NONE else list(named)
    first: dict[str, str] = {}
    for name, path in list_recipes().items():
        generator = read_flagfile(path).generator
        if name != "smoke" and generator != _SHIPPED:
            first.setdefault(generator, name)
    return sorted(first.values())


def write_export(export: Export, folder: Path) -> Path:
    """Returns the style folder of `export` below `folder`, written unless it is there already."""
    target = folder / f"{export.network.replace(' ', '_')}-{_digest(export)}"
    if (target / MANIFEST_NAME).is_file():
        return target
    load_tensorflow("Exporting")
    import keras

    from animegan_tf.benchmark.macs import count_generator
    from animegan_tf.models import GENERATORS

    keras.mixed_precision.set_global_policy("float32")
    keras.utils.set_random_seed(0)
    generator = export.build()
    manifest = describe(
        generator,
        name=target.name,
        system=next(name for name, kind in GENERATORS.items() if type(generator) is kind),
        recipe=export.network,
        licence="unknown",
        credits="made by the benchmark, for its timing alone",
        classes=_CLASSES if "label" in generator.inputs_shape else (),
        extra={"macs_256": count_generator(generator)},
    )
    write_style_folder(
        generator, manifest, out=target, formats=export.formats, precisions=export.precisions, overwrite=True
    )
    return target


def _system(recipe: str, width: int) -> Export:
    path = list_recipes()[recipe]
    config = read_flagfile(path)

    def build() -> Generator:
        return _untrained(config, width)

    network = f"{recipe}{f' {width}' if width else ''}"
    if recipe == COMPARED:
        return Export(network, path, build, FORMATS, ("float32", "dynamic_int8"), up_to=0)
    return Export(network, path, build)


def _untrained(config: TrainConfig, width: int) -> Generator:
    from animegan_tf.models import build_generator

    settings = config.network_settings | {"classes": len(_CLASSES)}
    return build_generator(config.generator, width or config.generator_width, **settings)


def _imported(path: Path) -> Generator:
    from animegan_tf.export.published import load_published

    return load_published(path)


def _digest(export: Export) -> str:
    """Returns eight letters that change with recipe or weights, with the code of networks and export, and the files."""
    total = hashlib.sha256(repr((export.network, tuple(export.formats), tuple(export.precisions))).encode())
    total.update(export.source.read_bytes())
    for path in sorted(path for room in _ROOMS for path in (_PACKAGE / room).rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()[:8]
