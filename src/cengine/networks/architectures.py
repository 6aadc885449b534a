"""`type:`, what a trainer may be asked for, and what is yet to come."""

from __future__ import annotations

TRAINER_TYPES = {
    "regression": "predict numbers",
    "classification": "predict classes",
    "autoencoder": "reconstruct rows, to find the odd ones",
}
LATER = {
    "custom_code": "your own code (block `custom_code`)",
}
