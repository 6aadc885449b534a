"""Predictions of whole tables: read where they are, streamed through a model, written as one file."""
