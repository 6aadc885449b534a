"""The stages of a run, one a file: Split > Fit > Transform > Yardsticks > Train > Evaluate (see `table.py`), and what they are given."""
