"""The words under `metrics:`: each a handful of sums in SQL, and the interval around its value."""
