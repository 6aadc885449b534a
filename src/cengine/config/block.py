"""What all blocks of a YAML are."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from cengine.plain import Plain


class Block(BaseModel):
    """A block of the YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    @classmethod
    def spelled_out(cls, value: Plain) -> Plain:
        """What short spellings of the block stand for."""
        return value
