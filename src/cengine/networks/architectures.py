"""`type:`, what a trainer may be asked for, and what is yet to come."""

from __future__ import annotations

TRAINER_TYPES = {"regression": "predict numbers", "classification": "predict classes"}
LATER = {
    "autoencoder": "autoencoders (type `autoencoder`)",
    "custom_code": "your own code (block `custom_code`)",
}
