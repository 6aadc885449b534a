"""The default networks of forecasts beside naive ones, on four public series and the trips, and what gathering windows takes.

    python bench/forecasting.py [--only etth1,trips] [--grid] [--seeds 1]

Prints for each set MASE and the mean squared error of the standardized label (the scale of MASE: repeating the season before in train, by
series). Train, eval and test follow each other in time; the last tenth of train chooses the checkpoint, and whether the small network stays
beside the linear map. Nothing is chosen by eval or test. With --grid the settings of the training are compared by that tenth too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from cengine.networks.keras_setup import import_keras

DATA = Path(__file__).parents[2] / "shared" / "data"
BATCH, CHECKPOINTS = 256, 30
INNER_SHARE = 0.1


@dataclass(frozen=True)
class Settings:
    """How a network is trained; `decays` lets the rate fall to 0 along half a cosine."""

    loss: str = "mae"
    rate: float = 0.002
    steps: int = 4020
    decays: bool = True

    def __str__(self) -> str:
        return f"{self.loss} {self.rate:g}{' decaying' if self.decays else ''}, {self.steps} steps"


GRID = (
    Settings(),
    Settings(rate=0.001, decays=False),
    Settings(rate=0.003),
    Settings(steps=2010),
    Settings(loss="mse"),
)


@dataclass
class Set:
    """Series of a set in one table of points: its own value first, then other features; `ahead` is what is known of each point before.

    `cuts` are the ends of train, eval and test, as places in a series.
    """

    name: str
    series: list[np.ndarray]
    others: list[np.ndarray]
    ahead: np.ndarray
    cuts: tuple[int, int, int]
    length: int
    horizon: int
    season: int
    starts: dict[str, np.ndarray] = field(default_factory=dict)
    which: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        train, _, end = self.cuts
        own = np.concatenate([one[:train] for one in self.series])
        self.mean, self.deviation = own.mean(), own.std()
        beside = np.concatenate([one[:train] for one in self.others])
        middle, spread = beside.mean(axis=0), beside.std(axis=0) + 1e-9
        tables, scales = [], []
        for one, other in zip(self.series, self.others, strict=True):
            standardized = (one[:end] - self.mean) / self.deviation
            tables.append(np.column_stack([standardized, (other[:end] - middle) / spread, self.ahead[:end]]))
            scales.append(np.abs(standardized[self.season : train] - standardized[: train - self.season]).mean())
        self.points, self.scales = np.concatenate(tables).astype(np.float32), np.array(scales)
        self.num_features = 1 + self.others[0].shape[1]
        inner = int(train * (1 - INNER_SHARE))
        parts = {"fit": (0, inner), "inner": (inner, train), "eval": self.cuts[:2], "test": self.cuts[1:]}
        for name, (first, last) in parts.items():
            # A window is of the part that the points to predict are in.
            own_starts = np.arange(max(first - self.length, 0), last - self.length - self.horizon + 1)
            offsets = np.arange(len(self.series)) * end
            self.starts[name] = (offsets[:, None] + own_starts).ravel().astype(np.int32)
            self.which[name] = np.repeat(np.arange(len(self.series)), len(own_starts)).astype(np.int32)

    def naive(self, part: str, season: int) -> tuple[float, float]:
        """MASE and mse of repeating the season before."""
        starts = self.starts[part] + self.length
        steps = np.arange(self.horizon)
        wanted = self.points[starts[:, None] + steps, 0]
        return self.measured(part, self.points[starts[:, None] - season + steps % season, 0] - wanted)

    def measured(self, part: str, errors: np.ndarray) -> tuple[float, float]:
        """MASE, the mean over the series, and mse of errors (windows, horizon)."""
        which, absolute = self.which[part], np.abs(errors).mean(axis=1)
        of_series = [absolute[which == one].mean() / self.scales[one] for one in np.unique(which)]
        return float(np.mean(of_series)), float((errors**2).mean())


def etth1() -> Set:
    """Oil temperature by hour, 336 -> 96, the standard cut of 8640, 2880 and 2880 hours."""
    found = _read(f"SELECT * FROM read_csv('{DATA}/series/ETTh1.csv.gz') ORDER BY date LIMIT 14400")
    others = np.column_stack([found[name] for name in ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")])
    ahead = _calendar(found["date"], "day", "week", "year")
    return Set("ETTh1 OT", [found["OT"]], [others], ahead, (8640, 11520, 14400), 336, 96, 24)


def trips() -> Set:
    """Departures by hour and station, 168 -> 24: the stations with more than 2,000 trips from June to December 2018."""
    found = _read(f"""
        WITH trips AS (SELECT "start station id" AS station, epoch(date_trunc('hour', starttime)) // 3600 AS hour
                       FROM read_csv('{DATA}/citibike/JC-2018*-citibike-tripdata.csv.gz')),
             stations AS (SELECT station FROM trips GROUP BY station HAVING count(*) > 2000),
             hours AS (SELECT unnest(generate_series(min(hour)::BIGINT, max(hour)::BIGINT)) AS hour FROM trips)
        SELECT station, hour, count(trips.hour)::DOUBLE AS departures
        FROM stations CROSS JOIN hours LEFT JOIN trips USING (station, hour) GROUP BY ALL ORDER BY station, hour""")
    stations = np.unique(found["station"])
    series = [found["departures"][found["station"] == one] for one in stations]
    hours = found["hour"][found["station"] == stations[0]]
    num = len(hours)
    ahead = _calendar((hours * 3600).astype("datetime64[s]"), "day", "week")
    cuts = (int(num * 0.8), int(num * 0.9), num)
    return Set("trips", series, [np.zeros((num, 0))] * len(series), ahead, cuts, 168, 24, 168)


def cta(until: str = "2022-01-01") -> Set:
    """Rail boardings by day, 56 -> 14; the kind of day (working day, Saturday, holiday) is known ahead."""
    found = _read(f"""
        SELECT service_date AS day, avg(rail_boardings) AS rides, any_value(day_type) AS kind
        FROM read_csv('{DATA}/series/CTA_daily_ridership.csv') WHERE service_date < '{until}' GROUP BY day ORDER BY day""")
    kinds = np.column_stack([(found["kind"] == kind).astype(float) for kind in "AUW"])
    ahead = np.column_stack([_calendar(found["day"], "week", "year"), kinds])
    num = len(ahead)
    name = "CTA" if until == "2022-01-01" else f"CTA to {until[:4]}"
    cuts = (int(num * 0.8), int(num * 0.9), num)
    return Set(name, [found["rides"]], [np.zeros((num, 0))], ahead, cuts, 56, 14, 7)


def airline() -> Set:
    """Passengers by month, 24 -> 12: eight years of train, in whose last tenth no window fits."""
    found = _read(f"SELECT Passengers::DOUBLE AS n FROM read_csv('{DATA}/series/airline-passengers.csv')")
    turns = 2 * np.pi * np.arange(144) / 12
    ahead = np.column_stack([np.sin(turns), np.cos(turns)])
    return Set("airline", [found["n"]], [np.zeros((144, 0))], ahead, (96, 120, 144), 24, 12, 12)


SETS: dict[str, Callable[[], Set]] = {
    "etth1": etth1,
    "trips": trips,
    "cta": cta,
    "cta_to_2020": lambda: cta("2020-01-01"),
    "airline": airline,
}


def _read(query: str) -> dict[str, np.ndarray]:
    return dict(duckdb.sql(query).fetchnumpy())


def _calendar(times: np.ndarray, *turns: str) -> np.ndarray:
    """Sine and cosine of the time of the day, the week and the year."""
    seconds = times.astype("datetime64[s]").astype(np.int64)
    months = times.astype("datetime64[M]").astype(np.int64) % 12
    shares = {"day": seconds / 86_400, "week": (seconds / 86_400 + 3) / 7, "year": months / 12}
    angles = [2 * np.pi * shares[turn] for turn in turns]
    return np.column_stack([wave(angle) for angle in angles for wave in (np.sin, np.cos)])


@dataclass(frozen=True)
class Reached:
    """What a network reaches at its best checkpoint by inner validation, or its last where there is none: MASE and mse by part."""

    step: int
    chosen_by: float | None
    values: dict[str, tuple[float, float]]
    cpu_seconds: float


def trained(data: Set, settings: Settings, *, residual: bool, decomposed: bool = False, seed: int = 0) -> Reached:
    """Trains a network on the windows of `fit`, in one compiled loop between checkpoints."""
    import jax
    import jax.numpy as jnp

    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = network(data, residual=residual, decomposed=decomposed)
    rate: Any = settings.rate
    if settings.decays:
        rate = keras.optimizers.schedules.CosineDecay(settings.rate, settings.steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)
    points, length = jnp.asarray(data.points), data.length

    def predicted(weights, others, starts, which):
        window = points[starts[:, None] + jnp.arange(length + data.horizon)]
        past, ahead = window[:, :length, : data.num_features], window[:, length:, data.num_features :]
        outputs, others = model.stateless_call(weights, others, [past, ahead, which[:, None]], training=True)
        return outputs - window[:, length:, 0], others

    def objective(weights, others, starts, which):
        errors, others = predicted(weights, others, starts, which)
        return jnp.mean(errors**2 if settings.loss == "mse" else jnp.abs(errors)), others

    gradient = jax.value_and_grad(objective, has_aux=True)

    def step(i, carry):
        (weights, others, slots), starts, which = carry
        (_, others), gradients = gradient(weights, others, starts[i], which[i])
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        return (list(weights), list(others), list(slots)), starts, which

    steps = jax.jit(lambda state, starts, which: jax.lax.fori_loop(0, len(starts), step, (state, starts, which))[0])
    errors_of = jax.jit(lambda state, starts, which: predicted(state[0], state[1], starts, which)[0])

    def measure(state, part: str) -> tuple[float, float] | None:
        starts, which = data.starts[part], data.which[part]
        if not len(starts):
            return None
        blocks = [errors_of(state, starts[i : i + 4096], which[i : i + 4096]) for i in range(0, len(starts), 4096)]
        return data.measured(part, np.concatenate(blocks))

    began = time.process_time()
    groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = tuple([jnp.array(v.value) for v in group] for group in groups)
    best: tuple[float, int, Any] | None = None
    order, every = _order(len(data.starts["fit"]), settings.steps, seed), settings.steps // CHECKPOINTS
    for number in range(CHECKPOINTS):
        rows = order[number * every : (number + 1) * every]
        state = steps(state, jnp.asarray(data.starts["fit"][rows]), jnp.asarray(data.which["fit"][rows]))
        inner = measure(state, "inner")
        value = -number if inner is None else inner[1 if settings.loss == "mse" else 0]
        if best is None or value < best[0]:
            best = (value, (number + 1) * every, state)
    assert best is not None
    cpu = time.process_time() - began
    values = {part: found for part in ("inner", "eval", "test") if (found := measure(best[2], part)) is not None}
    return Reached(best[1], best[0] if len(data.starts["inner"]) else None, values, cpu)


def network(data: Set, *, residual: bool, decomposed: bool) -> Any:
    """The default network of a set; what tells series apart enters as eight learnt numbers."""
    from cengine.networks.forecasting import Forecast, forecast

    keras = import_keras()
    past = keras.Input((data.length, data.num_features))
    ahead = keras.Input((data.horizon, data.points.shape[1] - data.num_features))
    which = keras.Input((1,), dtype="int32")
    static = None
    if len(data.series) > 1:
        static = keras.layers.Flatten()(keras.layers.Embedding(len(data.series), 8)(which))
    asked = Forecast(data.length, data.horizon, 0, data.season, residual=residual, decomposed=decomposed)
    output = keras.layers.Reshape((data.horizon,))(forecast(past, asked, ahead, static))
    return keras.Model([past, ahead, which], output)


def _order(num_windows: int, steps: int, seed: int) -> np.ndarray:
    """Windows of each step, (steps, BATCH): pass after pass, each in an order of its own."""
    random, wanted = np.random.default_rng(seed), steps * BATCH
    passes = [random.permutation(num_windows) for _ in range(-(-wanted // num_windows))]
    return np.concatenate(passes)[:wanted].reshape(steps, BATCH)


def chosen(linear: Reached, with_residual: Reached) -> tuple[str, Reached]:
    """The network that is better by inner validation; without one the linear map alone."""
    if with_residual.chosen_by is None or linear.chosen_by is None or linear.chosen_by <= with_residual.chosen_by:
        return "linear", linear
    return "with residual", with_residual


def table(names: list[str], settings: Settings, seeds: int) -> Iterator[str]:
    """A line for each network of each set."""
    yield f"{'set':<12}{'network':<34}{'step':>6}{'inner':>15}{'eval':>15}{'test':>15}{'mase / seasonal':>17}{'CPU s':>7}"
    for name in names:
        data = SETS[name]()
        seasonal = data.naive("test", data.season)[0]
        for what, season in (("seasonal naive", data.season), ("last value", 1)):
            values = {part: data.naive(part, season) for part in ("inner", "eval", "test") if len(data.starts[part])}
            yield _line(data.name, what, None, values, seasonal, None)
        for seed in range(seeds):
            linear = trained(data, settings, residual=False, seed=seed)
            others = {
                "NLinear": linear,
                "DLinear": trained(data, settings, residual=False, decomposed=True, seed=seed),
                "NLinear + residual": trained(data, settings, residual=True, seed=seed),
            }
            for what, found in others.items():
                yield _line(data.name, what, found.step, found.values, seasonal, found.cpu_seconds)
            which, found = chosen(linear, others["NLinear + residual"])
            cpu = linear.cpu_seconds + others["NLinear + residual"].cpu_seconds
            yield _line(data.name, f"chosen: {which}", found.step, found.values, seasonal, cpu)


def _line(
    data: str, what: str, step: int | None, values: dict[str, tuple[float, float]], seasonal: float, cpu: float | None
) -> str:
    cells = [
        f"{values[part][0]:.3f} / {values[part][1]:.4f}" if part in values else "-"
        for part in ("inner", "eval", "test")
    ]
    share = f"{values['test'][0] / seasonal:.2f}"
    return f"{data:<12}{what:<34}{step or '':>6}{''.join(f'{cell:>15}' for cell in cells)}{share:>17}{'' if cpu is None else f'{cpu:.1f}':>7}"


def grid(names: list[str]) -> Iterator[str]:
    """Settings by the geometric mean over the sets of the inner MASE of what is chosen, beside the seasonal naive's."""
    for settings in GRID:
        shares = []
        for name in names:
            data = SETS[name]()
            if not len(data.starts["inner"]):
                continue
            _, found = chosen(*(trained(data, settings, residual=residual) for residual in (False, True)))
            shares.append(found.values["inner"][0] / data.naive("inner", data.season)[0])
        mean = statistics.geometric_mean(shares)
        yield f"{settings!s:<36}{mean:.4f}   {', '.join(f'{share:.3f}' for share in shares)}"


def gather() -> str:
    """Microseconds for a batch of 256 windows of 24 and of 96 points, seven numbers each, from 1,000,000 points."""
    from cengine.learners.windows import Points

    random = np.random.default_rng(0)
    points = Points(random.normal(size=(1_000_000, 7)).astype(np.float32), np.zeros((1_000_000, 0), np.int32))
    told = []
    for length in (24, 96):
        starts = random.integers(0, 1_000_000 - length, (400, BATCH))
        times = []
        for _ in range(9):
            began = time.perf_counter()
            for one in starts:
                points.gathered(one, length)
            times.append((time.perf_counter() - began) / len(starts))
        told.append(f"{1e6 * statistics.median(times):.0f} us at {length} points")
    return f"gather of a batch of {BATCH} windows: {', '.join(told)} (at 24: must 60, aim 40)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("--grid", action="store_true")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    print(gather(), flush=True)
    for line in grid(names) if arguments.grid else table(names, Settings(), arguments.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
