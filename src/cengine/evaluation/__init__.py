"""Predictions -> metrics, overall, by slice, and beside a constant."""
