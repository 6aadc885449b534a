"""What a stage of a run is. Plan, forecast, costs and warehouse ask it what they need to know; none of them knows one by its name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cengine.config.resolve import Resolved
from cengine.stages.context import Context
from cengine.stopping import Wish

# How much of each quantity there is to do; time, memory and disk space grow with them.
Load = dict[str, float]
# The folders of the stages that are complete, by the stages' names.
Folders = Mapping[str, Path]
# What is measured of a stage, in seconds or bytes, and for each measure the rate of each quantity of its load. FIXED comes once; a quantity
# whose name begins with it is 1 where there is more that does not grow: loading Keras and compiling.
SECONDS, CPU, PEAK, KEPT = "seconds", "cpu_seconds", "peak_bytes", "num_bytes"
FIXED = "fixed"
FIXED_OF_NETWORK = f"{FIXED}: network"
Rates = Mapping[str, Mapping[str, float]]


@dataclass
class Work:
    """What a running stage uses: the folders of earlier stages, its own, one for checkpoints, and the request to stop.

    A stage that stops early at a limit sets `limited_at` to its last step: its folder then holds
    not the result of its settings alone.
    """

    folders: Folders
    folder: Path
    kept: Path
    details: dict[str, Any] = field(default_factory=dict)
    wish: Wish = field(default_factory=Wish)
    limited_at: int | None = None

    def of(self, stage: type[Stage]) -> Path:
        """The folder of a stage before."""
        return self.folders[stage.name]


class Stage(ABC):
    """A part of a run: reads the folders of the stages that it comes `after` and fills its own.

    Its identity is made of its settings and of the identity of the last stage that it comes after.
    """

    name: ClassVar[str]
    after: ClassVar[tuple[type[Stage], ...]] = ()
    unit: ClassVar[str] = "rows"
    version: ClassVar[int] = 1
    """Raised when the same settings give another result than before."""
    rates: ClassVar[Rates]
    """Measured once on two cores."""
    num_scans: ClassVar[int] = 0
    """How many times it reads its columns of the table."""
    loads_network: ClassVar[bool] = False
    """Whether it needs Keras and JAX, which take memory before the first row is read."""
    is_training: ClassVar[bool] = False
    """Whether it uses the GPUs and is paid for apart; a limit is left to it then, which ends at a step and keeps what it has reached."""
    follows_limits: ClassVar[bool] = False
    """Whether it still runs where a limit was reached: it says how good the model is that there is."""

    is_beside: ClassVar[bool] = False
    """Whether it stands beside what is measured, and is not part of the model."""
    joins_folds: ClassVar[bool] = False
    """Whether it comes after the models of all folds."""

    @abstractmethod
    def settings(self, context: Context) -> dict[str, Any]:
        """All that its result depends on beside the stages before, as plain data."""

    def size(self, context: Context, folders: Folders) -> int:
        """How much it has to do, in its unit, such as all rows of the table; 0 if that is not known yet."""
        return context.snapshot.schema.num_rows

    def told(self, context: Context, folders: Folders) -> str | None:
        """What it takes where the YAML leaves it out, in a sentence for the plan."""
        return None

    @abstractmethod
    def load(self, context: Context, folders: Folders, first_step: int = 0, last_step: int | None = None) -> Load:
        """What it has to do, as exactly as the results of the stages before it let it be known.

        Of training the steps after `first_step`, to `last_step` or to its end.
        """

    @abstractmethod
    def run(self, context: Context, work: Work) -> None:
        """Fills the folder of `work`."""

    def columns(self, context: Context) -> set[str]:
        """The columns of the table that its queries read."""
        return set()

    def num_queries(self, resolved: Resolved) -> int:
        """The number of queries that it sends to a warehouse."""
        return 0

    def first_step(self, context: Context, kept: Path) -> int:
        """The step from which it continues, given the folder that an earlier attempt kept."""
        return 0
