"""Training data: pictures on disk to deterministic batches, by TensorFlow or by NumPy alone."""
