"""Removes channels from the trained generator of a run, and writes a run folder that trains on and exports.

python tools/prune.py --run_dir=runs/x --out=runs/x_small --ratio=0.4 && animegan-train --resume --run_dir=runs/x_small
"""

from __future__ import annotations

import sys

from animegan_tf.compression.pruned_run import Pruned, PruneOptions, prune_run
from animegan_tf.options import run_program

PURPOSE = "Removes the weakest channels from the generator of --run_dir; the smaller run trains on and exports."


def table(pruned: Pruned) -> str:
    """Returns the channels of each block, the parameters and the multiply-accumulates, before and after."""
    old, new = pruned.before, pruned.after
    counts = enumerate(zip(old.channels, new.channels, strict=True), 1)
    rows = [
        (f"block {number}, channels", str(before), str(after), after / before) for number, (before, after) in counts
    ]
    rows.append(("parameters", f"{old.parameters:,}", f"{new.parameters:,}", new.parameters / old.parameters))
    rows.append(("GMAC at 256x256", f"{old.macs / 1e9:.3f}", f"{new.macs / 1e9:.3f}", new.macs / old.macs))
    return "\n".join(f"{name:<18} {before:>9} -> {after:>9} {left - 1:+7.1%}" for name, before, after, left in rows)


def main(options: PruneOptions) -> None:
    """Prunes, and prints the table and how to go on."""
    pruned = prune_run(options)
    print(table(pruned))
    print(f"Go on with: {pruned.program} --resume --run_dir={options.out}")


if __name__ == "__main__":
    sys.exit(run_program(PruneOptions, main, program="prune", purpose=PURPOSE))
