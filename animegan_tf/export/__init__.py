"""From a run folder to a style folder: SavedModel, TFLite and ONNX files, each checked against the network."""
