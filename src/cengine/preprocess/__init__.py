"""Split > Fit > Transform: rows, numbers, model-ready rows."""
