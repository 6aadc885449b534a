"""A table of made-up machines that report every ten minutes, of any length: series to forecast, and stops to foresee.

Each machine draws power by day and week, warms up with it, and wears out: the more it is worn the more it vibrates, until it stops for
some hours, draws nothing, and starts as new. Some reports get lost, now and then all of some hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SUFFIXES = (".csv", ".csv.gz", ".parquet")
STEP_SECONDS = 600
STEPS_A_DAY = 86_400 // STEP_SECONDS
FIRST_DAY = "2025-01-06"
MODES = ("eco", "normal", "boost")
# Of a report that gets lost by itself, and of hours in which all do.
LOST, HOURS_LOST = 0.02, 0.0008


def generate_machines(path: Path, num_machines: int, num_days: int, *, seed: int = 0) -> int:
    """Writes the reports of so many machines over so many days to `path` (.csv, .csv.gz or .parquet); gives their number.

    The file appears only when complete; one that exists is replaced. A machine is a function of the seed and its number alone.
    Raises ValueError for another suffix, and for numbers below 1.
    """
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"cannot write machines to {path.name!r}, expected a name that ends in {', '.join(SUFFIXES)}")
    if num_machines < 1 or num_days < 1:
        raise ValueError("expected at least one machine and one day")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, num_rows = path.with_name(f"{path.name}.partial"), 0
    tables = _machines(num_machines, num_days, seed)
    first = next(tables)
    try:
        with (
            pa.OSFile(str(partial), "wb") as file,
            pa.CompressedOutputStream(file, "gzip") if path.suffix == ".gz" else file as target,
        ):
            writer = (
                pq.ParquetWriter(target, first.schema)
                if path.suffix == ".parquet"
                else pc.CSVWriter(target, first.schema)
            )
            with writer:
                for table in (first, *tables):
                    writer.write_table(table)
                    num_rows += len(table)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return num_rows


def _machines(num_machines: int, num_days: int, seed: int) -> Iterator[pa.Table]:
    for number in range(num_machines):
        yield _machine(number, num_days, seed)


def _machine(number: int, num_days: int, seed: int) -> pa.Table:
    """All reports of one machine, in order of time."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng([seed, number])
    steps = np.arange(num_days * STEPS_A_DAY)
    wear, stopped = _wear(random, len(steps))
    mode = np.repeat(random.choice(3, -(-len(steps) // 36), p=(0.2, 0.6, 0.2)), 36)[: len(steps)]
    hour, day = steps / 6 % 24, steps // STEPS_A_DAY
    size = random.uniform(20, 60)
    by_day = 1 + 0.35 * np.sin((hour - 9) / 24 * 2 * np.pi) + 0.1 * np.sin((hour - 3) / 12 * 2 * np.pi)
    by_week = np.where(day % 7 < 5, 1.0, 0.55)
    drift = np.cumsum(random.normal(0, 0.002, len(steps)))
    power = size * by_day * by_week * (1 + 0.15 * (mode - 1) + drift) * ~stopped + random.normal(0, 0.4, len(steps))
    temperature = (
        18 + 6 * np.sin((hour - 11) / 24 * 2 * np.pi) + 0.35 * power + 5 * wear + random.normal(0, 0.8, len(steps))
    )
    vibration = np.where(stopped, 0.02, 0.4 + 1.6 * wear**2) * np.exp(random.normal(0, 0.25, len(steps)))
    there = (random.random(len(steps)) > LOST) & ~_hours_lost(random, len(steps))
    seconds = steps * STEP_SECONDS + random.integers(0, 45, len(steps))
    begin = np.datetime64(FIRST_DAY, "s")
    columns = {
        "machine": pa.array([f"M{number + 1:03d}"] * len(steps)),
        "reported_at": pa.array(begin + seconds.astype("timedelta64[s]")),
        "mode": pa.array([MODES[one] for one in mode]),
        "power": pa.array(np.maximum(power, 0).round(2)),
        "temperature": pa.array(temperature.round(1)),
        "vibration": pa.array(vibration.round(3)),
        "stopped": pa.array(stopped.astype(np.int8)),
    }
    return pa.table(columns).filter(pa.array(there))


def _wear(random: np.random.Generator, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """How worn the machine is, from 0 to 1 where it stops, and whether it stands."""
    import numpy as np

    wear, stopped = np.zeros(num_steps), np.zeros(num_steps, bool)
    place = -int(random.uniform(0, 12) * STEPS_A_DAY)
    while place < num_steps:
        life = int(random.uniform(6, 16) * STEPS_A_DAY)
        pause = int(random.uniform(2, 8) * 6)
        begin, end = max(place, 0), min(place + life, num_steps)
        if end > begin:
            wear[begin:end] = (np.arange(begin, end) - place) / life
        stopped[max(end, 0) : max(end + pause, 0)] = end == place + life
        place += life + pause
    return wear, stopped


def _hours_lost(random: np.random.Generator, num_steps: int) -> np.ndarray:
    """Whether a report falls into hours of which none arrived."""
    import numpy as np

    lost = np.zeros(num_steps, bool)
    for place in np.flatnonzero(random.random(num_steps) < HOURS_LOST):
        lost[place : place + int(random.uniform(6, 30))] = True
    return lost
