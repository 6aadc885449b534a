"""Model-ready rows -> a trained network."""
