"""Sends pictures to a TF Serving model server and writes what comes back; see docs/serving.md.

python tools/serving_client.py --model=hokusai --photos=holiday,photo.jpg --out=out --concurrency=4
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from animegan_tf.apps import look as looks
from animegan_tf.errors import ConfigError, ServingError
from animegan_tf.options import check_bounds, option, run_program
from animegan_tf.runtime.serving.backend import serve_style
from animegan_tf.runtime.serving.batch import plan, stylize_files
from animegan_tf.runtime.serving.client import DEADLINE, LONGEST_DEADLINE, RETRIES, ServingClient, connect

PURPOSE = "Sends pictures to a TF Serving model server, several at a time, and writes the stylized ones."


@dataclass(frozen=True, kw_only=True)
class ServingClientOptions:
    """Options of this tool; see options.option."""

    server: str = option(
        "http://127.0.0.1:8501", "http(s)://HOST:PORT for REST, grpc(s)://HOST:PORT for gRPC", "server"
    )
    model: str = option("hokusai", "name of the model on the server", "server")
    version: int = option(0, "version of the model; 0: the newest", "server", low=0)
    deadline: float = option(
        DEADLINE, "seconds that one request may take, retries included", "server", low=0.01, high=LONGEST_DEADLINE
    )
    retries: int = option(RETRIES, "times a request is sent again when nobody is there, or too busy", "server", low=0)
    concurrency: int = option(4, "requests under way at once", "server", low=1, high=256)
    send: str = option("files", "files as they are, or their pixels", "server", choices=("files", "pixels"))
    ask: str = option("predict", "send pictures, or only ask this", "server", choices=("predict", "status", "metadata"))
    photos: tuple[str, ...] = option((), "pictures and folders of pictures", "pictures")
    out: str = option("", "folder to write to", "pictures")
    overwrite: bool = option(False, "replace files that are there", "pictures")
    style: str = option("", "the served style or its folder, where it has something to choose from", "look")
    label: str = option("", "which of its styles; a blend: monet:0.7,hokusai:0.3", "look")
    style_image: tuple[str, ...] = option((), "pictures to take the style from, PICTURE[:WEIGHT]", "look")
    variation: int = option(-1, "seed of another way to paint the same; -1: the plain one", "look", low=-1)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.ask == "predict" and not (self.photos and self.out):
            raise ConfigError("--photos and --out are needed, or --ask=status.")
        if not self.style and (self.label or self.style_image or self.variation >= 0):
            raise ConfigError(
                "--label, --style_image and --variation need --style, which says what there is to choose."
            )


def main(options: ServingClientOptions) -> None:
    """Asks, or sends all pictures; raises ServingError at the end when some failed."""
    client = connect(
        options.server, options.model, options.version or None, deadline=options.deadline, retries=options.retries
    )
    if options.ask != "predict":
        answer = client.status() if options.ask == "status" else client.signatures()
        print(*(answer if isinstance(answer, list) else [f"{name}\n{item}" for name, item in answer.items()]), sep="\n")
        return
    name, further = _look(client, options)
    jobs = plan(options.photos, Path(options.out), name)
    with tqdm(total=len(jobs), unit=" pictures", leave=False, disable=not sys.stderr.isatty()) as bar:

        def report(job, sentence: str) -> None:
            bar.update()
            bar.write(sentence or str(job.target), file=sys.stderr if sentence else sys.stdout)

        summary = stylize_files(
            client,
            jobs,
            further=further,
            concurrency=options.concurrency,
            pixels=options.send == "pixels",
            overwrite=options.overwrite,
            report=report,
        )
    print(summary.text(client.retried), file=sys.stderr)
    if summary.failed:
        raise ServingError(f"{summary.failed} of {len(jobs)} pictures failed, see above.")


def _look(client: ServingClient, options: ServingClientOptions) -> tuple[str, Mapping[str, np.ndarray]]:
    """Returns the name of the look and the further inputs for it. Asks the server, so that one that is off is seen."""
    if not options.style:
        if taken := client.further_inputs():
            raise ConfigError(f"Model {options.model} takes {' and '.join(taken)}: name its style folder with --style.")
        return options.model, {}
    stylizer = serve_style(options.style, client)
    variation = options.variation if options.variation >= 0 else None
    chosen = looks.LookOptions(options.label or None, options.style_image, variation=variation)
    look = stylizer.look(**looks.choose_look(stylizer, chosen, options.overwrite)[1])
    return look.name, look.inputs


if __name__ == "__main__":
    sys.exit(run_program(ServingClientOptions, main, program="serving_client", purpose=PURPOSE))
