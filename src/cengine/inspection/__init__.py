"""Finished runs and tables, looked at: reports, comparisons, slices, statistics."""
