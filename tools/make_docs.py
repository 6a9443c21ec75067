"""Writes the generated pages: docs/commands.md (every --help), and the table of recipes in flags/README.md.

`make docs` runs it; a test fails when a page is not what it would write.
"""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from animegan_tf.apps.cli import cli
from animegan_tf.config import TrainConfig, help_text, list_recipes, read_flagfile
from animegan_tf.export.run import PURPOSE as EXPORT_PURPOSE
from animegan_tf.export.run import ExportOptions
from animegan_tf.training.run import PURPOSE as TRAIN_PURPOSE

ROOT = Path(__file__).resolve().parent.parent
MARKS = ("<!-- recipes: written by `make docs` -->", "<!-- end -->")


def commands_page() -> str:
    """Returns docs/commands.md."""
    parts = ["# Commands", "", "Written by `make docs` from the programs themselves."]
    for arguments in ((), ("image",), ("styles",)):
        title = " ".join(("animegan", *arguments))
        text = CliRunner().invoke(cli, [*arguments, "--help"], prog_name="animegan").output
        parts += ["", f"## {title}", "", "```", text.rstrip(), "```"]
    for title, kind, purpose in (
        ("animegan-train", TrainConfig, TRAIN_PURPOSE),
        ("animegan-export", ExportOptions, EXPORT_PURPOSE),
    ):
        parts += ["", f"## {title}", "", "```", help_text(kind, title, purpose), "```"]
    return "\n".join(parts) + "\n"


def recipe_table() -> str:
    """Returns the table of recipes, one row per file: what its first comment line says and its main sizes."""
    rows = ["| recipe | what it is | generator | size | batch | epochs |", "|---|---|---|---|---|---|"]
    for name, path in list_recipes().items():
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").rstrip(".")
        c = read_flagfile(path)
        rows.append(
            f"| [`{name}`]({path.name}) | {title} | {c.generator} | {c.image_size} | {c.batch_size} | {c.epochs} |"
        )
    return "\n".join(rows)


def with_table(text: str) -> str:
    """Returns `text` with what stands between MARKS replaced by the table of recipes."""
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1], 1)[1]
    return f"{before}{MARKS[0]}\n{recipe_table()}\n{MARKS[1]}{after}"


def pages() -> dict[Path, str]:
    """Returns path -> text of every generated page."""
    recipes = ROOT / "flags/README.md"
    return {
        ROOT / "docs/commands.md": commands_page(),
        recipes: with_table(recipes.read_text(encoding="utf-8")),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
