"""Runs exported styles: everything right of the wall. Nothing here imports TensorFlow before a SavedModel is loaded."""
