"""`settings.yaml` in the project's folder (or CENGINE_SETTINGS): prices, the engine, how many runs may go on at once, how much is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cengine.errors import StoreError, near_miss
from cengine.quantities import parse_bytes


class Prices(BaseModel):
    """What things cost; nothing on one's own machine. Per hour of a core, of a GPU, per GB (10**9 bytes) scanned and per GB kept a month."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    currency: str = Field(default="EUR", min_length=1, max_length=8)
    cpu_hour: float = Field(default=0.0, ge=0)
    gpu_hour: float = Field(default=0.0, ge=0)
    num_gpus: int = Field(default=0, ge=0)
    gb_scanned: float = Field(default=0.0, ge=0)
    gb_month: float = Field(default=0.0, ge=0)

    @property
    def sign(self) -> str:
        """How amounts are headed."""
        return {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF"}.get(self.currency, self.currency)


def _bytes(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


class EngineSettings(BaseModel):
    """Where the SQL of a run's table runs: the engine's name, for Spark its master and workers; `options` are the engine's own, by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = "duckdb"
    master: str | None = None
    workers: int | None = Field(default=None, ge=1)
    cpus_per_worker: int | None = Field(default=None, ge=1)
    options: dict[str, str | int | float | bool] = {}


class Settings(BaseModel):
    """The whole file. Artifacts are kept within `cache_max_size` bytes (10GB) after each run."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    prices: Prices = Prices()
    engine: EngineSettings = EngineSettings()
    max_parallel: int | None = Field(default=None, ge=1)
    cache_max_size: Annotated[int | None, BeforeValidator(_bytes)] = Field(default=None, ge=0)


def read_settings(folder: Path) -> Settings:
    """The settings of a project, the defaults where there is no file. Raises StoreError with the place of what is wrong."""
    path = Path(os.environ.get("CENGINE_SETTINGS") or folder / "settings.yaml")
    if not path.exists():
        if "CENGINE_SETTINGS" in os.environ:
            raise StoreError(f"there is no file {path}", "CENGINE_SETTINGS names it")
        return Settings()
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    try:
        return Settings.model_validate({} if data is None else data)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"])) or "the file"
        blocks: dict[str, type[BaseModel]] = {"prices": Prices, "engine": EngineSettings}
        known = [*blocks.get(str(detail["loc"][0]) if detail["loc"] else "", Settings).model_fields]
        message = detail["msg"].removeprefix("Value error, ")
        unknown = str(detail["loc"][-1]) if detail["type"] == "extra_forbidden" else ""
        raise StoreError(
            f"{path}: {where}: {message[0].lower()}{message[1:]}",
            f"known keys: {', '.join(known)}",
            *near_miss(unknown, known),
        ) from None
