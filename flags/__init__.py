"""Training recipes: one absl flagfile per published or shipped system. Data, not code."""
