"""Smaller networks from larger ones."""
