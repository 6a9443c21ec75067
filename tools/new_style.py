"""Makes a style of one's own: python tools/new_style.py --style_dir=PRINTS --photo_dir=PHOTOS --out=out/mine ."""

import sys

from animegan_tf.studio.new_style import main

if __name__ == "__main__":
    sys.exit(main())
