"""Trained models apart from the runs that made them: what they are, kept in a folder, and used on new rows."""
