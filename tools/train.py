"""Trains a generator from a recipe: python tools/train.py --flagfile=flags/animeganv2_hayao.flags --photo_dir=... ."""

import sys

from animegan_tf.training.run import main

if __name__ == "__main__":
    sys.exit(main())
