"""Trained models in formats that others run: written, and compared with the model before they are handed out."""
