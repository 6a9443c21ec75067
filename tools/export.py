"""Exports a trained run: python tools/export.py --run_dir=runs/x --out=out/x --formats=saved_model,tflite,onnx ."""

import sys

from animegan_tf.export.run import main

if __name__ == "__main__":
    sys.exit(main())
