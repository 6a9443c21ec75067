"""Writes what is generated: docs/commands.md (every --help), and the tables of recipes and of systems.

`make docs` runs it; a test fails when a page is not what it would write.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

from click.testing import CliRunner

from animegan_tf.apps.cli import cli
from animegan_tf.config import TrainConfig
from animegan_tf.export.run import PURPOSE as EXPORT_PURPOSE
from animegan_tf.export.run import ExportOptions
from animegan_tf.models import build_generator
from animegan_tf.options import help_text
from animegan_tf.recipe_files import list_recipes, read_flagfile
from animegan_tf.studio.options import PURPOSE as STYLE_PURPOSE
from animegan_tf.studio.options import NewStyleOptions
from animegan_tf.training.run import PURPOSE as TRAIN_PURPOSE

ROOT = Path(__file__).resolve().parent.parent
END = "<!-- end -->"


def commands_page() -> str:
    """Returns docs/commands.md."""
    parts = ["# Commands", "", "Written by `make docs` from the programs themselves."]
    for arguments in ((), ("image",), ("styles",)):
        title = " ".join(("animegan", *arguments))
        text = CliRunner().invoke(cli, [*arguments, "--help"], prog_name="animegan").output
        parts += ["", f"## {title}", "", "```", text.rstrip(), "```"]
    for title, kind, purpose in (
        ("animegan-new-style", NewStyleOptions, STYLE_PURPOSE),
        ("animegan-train", TrainConfig, TRAIN_PURPOSE),
        ("animegan-export", ExportOptions, EXPORT_PURPOSE),
    ):
        parts += ["", f"## {title}", "", "```", help_text(kind, title, purpose), "```"]
    return "\n".join(parts) + "\n"


def recipe_heads() -> dict[str, dict[str, str]]:
    """Returns recipe name -> what its head says: 'Title' (the first line) and the text behind each 'Word:'."""
    heads = {}
    for name, path in list_recipes().items():
        lines = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        first, *rest = (line.lstrip("# ").rstrip() for line in lines)
        found, word = {"Title": first.rstrip(".")}, ""
        for line in rest:
            start = re.match(r"([A-Z][a-z]+): (.*)", line)
            word, text = start.groups() if start else (word, line)
            found[word] = f"{found.get(word, '')} {text}".strip()
        heads[name] = found
    return heads


def recipe_table() -> str:
    """Returns the table of recipes, one row per file: what its first comment line says and its main sizes."""
    rows = ["| recipe | what it is | generator | size | batch | epochs |", "|---|---|---|---|---|---|"]
    for name, head in recipe_heads().items():
        c = read_flagfile(list_recipes()[name])
        sizes = f"{c.generator} | {c.image_size} | {c.batch_size} | {c.epochs}"
        rows.append(f"| [`{name}`]({name}.flags) | {head['Title']} | {sizes} |")
    return "\n".join(rows)


def system_table() -> str:
    """Returns the table of systems, one row per generator and discriminator that recipes name, from their heads."""
    systems: dict[tuple[str, str, int], list[str]] = {}
    for name, path in list_recipes().items():
        c = read_flagfile(path)
        if name != "smoke":
            judge = f"`{c.discriminator}`" if c.adversarial else "none"
            systems.setdefault((c.generator, judge, c.generator_width), []).append(name)
    rows = ["| system | recipes | generator | parameters | discriminator | source |", "|---|---|---|---|---|---|"]
    heads = recipe_heads()
    for (generator, judge, width), names in systems.items():
        head = heads[names[0]]
        recipes = ", ".join(f"[`{name}`](flags/{name}.flags)" for name in names)
        network = build_generator(generator, width, **read_flagfile(list_recipes()[names[0]]).network_settings)
        kept = {id(v) for v in network.inference_variables}
        count = sum(math.prod(v.shape) for v in network.trainable_variables if id(v) in kept)
        title, source = re.split("[,:]", head["Title"])[0], re.split(r";|:|(?<!al)\. ", head["Source"])[0].rstrip(".")
        rows.append(f"| {title} | {recipes} | `{generator}` | {count:,} | {judge} | {source} |")
    return "\n".join(rows)


def with_table(text: str, name: str, table: str) -> str:
    """Returns `text` with what stands between the marks of the table `name` replaced."""
    mark = f"<!-- {name}: written by `make docs` -->"
    before, rest = text.split(mark)
    return f"{before}{mark}\n{table}\n{END}{rest.split(END, 1)[1]}"


def pages() -> dict[Path, str]:
    """Returns path -> text of every generated page."""
    recipes, readme = ROOT / "flags/README.md", ROOT / "README.md"
    return {
        ROOT / "docs/commands.md": commands_page(),
        recipes: with_table(recipes.read_text(encoding="utf-8"), "recipes", recipe_table()),
        readme: with_table(readme.read_text(encoding="utf-8"), "systems", system_table()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
