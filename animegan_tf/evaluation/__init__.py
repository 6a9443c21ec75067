"""Measures of what a style makes of photos."""
