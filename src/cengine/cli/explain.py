"""A plan and what it will take, as the terminal shows it before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cengine.cli.output import data_size, echo, gigabytes, print_table, short_duration

if TYPE_CHECKING:
    from cengine.datasources.table import Scan
    from cengine.forecast.estimates import Interval
    from cengine.forecast.forecast import Forecast, StageForecast
    from cengine.pipeline.plan import Plan, PlannedStage
    from cengine.store.settings import Prices


# Less is not worth a line.
BUSY = 1.3


def print_plan(planned: Plan, found: Forecast) -> None:
    """Prints the stages with what each is expected to take, and the sums."""
    costs = _has_prices(found)
    # Stages of folds have longer names, which leave no room for the interval of each; that of the sum stands below the table.
    intervals = not planned.context.folds
    headers = (
        "Stage",
        "State",
        "Size",
        "Time",
        *(("4 of 5 times",) if intervals else ()),
        "Memory",
        *((f"Cost ({found.prices.sign})",) if costs else ()),
        "Saves",
    )
    rows = []
    for stage, will in zip(planned.stages, found.stages, strict=True):
        taken = (
            ("",) * (3 if intervals else 2)
            if will.stored
            else (
                short_duration(will.seconds.expected),
                *((between(will.seconds),) if intervals else ()),
                gigabytes(round(will.peak_bytes.expected)),
            )
        )
        cost = ("" if will.stored else money(will.cost.expected),) if costs else ()
        saves = short_duration(stage.stored_seconds) if stage.stored_seconds is not None else None
        rows.append((stage.name, _state(will), _size(stage, will), *taken, *cost, saves))
    print_table(headers, rows)
    threads = planned.context.threads or "all"
    echo(f"\nmemory up to {gigabytes(planned.context.memory_bytes)}, {threads} cores")
    if planned.context.workers.name != "duckdb":
        echo(f"split, statistics and encoding on {planned.context.workers}")
    for stage in planned.stages:
        if stage.told is not None and stage.fold in (None, 1):  # folds take alike
            echo(f"{stage.name}, as nothing is said of its length: {stage.told}")
    for line in _sums(found):
        echo(line)


def print_scan(planned: Plan, scan: Scan, prices: Prices, max_gb_scanned: float | None) -> None:
    """Prints what the table's warehouse will read for the run, and what that costs."""
    from cengine.forecast.costs import scan_cost

    cost = f", {prices.sign} {money(scan_cost(scan.num_bytes, prices))}" if prices.gb_scanned else ""
    bound = f"; at most {max_gb_scanned:g} GB are allowed" if max_gb_scanned is not None else ""
    echo(
        f"{scan.title} will scan about {data_size(scan.num_bytes)} "
        f"in {scan.num_queries} queries of {data_size(scan.query_bytes)}{cost}{bound}"
    )


def plan_json(planned: Plan, found: Forecast, scan: Scan | None) -> dict[str, Any]:
    """The same as plain data."""
    stages = [
        {
            "name": s.name,
            "stored": s.stored_seconds is not None,
            "fingerprint": s.fingerprint,
            "size": s.size,
            "unit": s.unit,
            **({"taken": s.told} if s.told else {}),
            "estimate": will.to_json(),
        }
        for s, will in zip(planned.stages, found.stages, strict=True)
    ]
    return {
        "rows": planned.snapshot.schema.num_rows,
        "saved_seconds": planned.saved_seconds,
        "memory_bytes": planned.context.memory_bytes,
        "estimate": found.to_json(),
        "stages": stages,
        **({"scan": scan.to_json()} if scan else {}),
    }


def between(interval: Interval) -> str:
    """The interval of a time."""
    return f"{short_duration(interval.low)} to {short_duration(interval.high)}"


def money(amount: float) -> str:
    """An amount to two digits that count: an estimate has no more."""
    return f"{amount:.2g}" if amount < 100 else f"{amount:,.0f}"


def _state(will: StageForecast) -> str:
    return "stored" if will.stored else f"from step {will.first_step:,}" if will.first_step else "to run"


def _size(stage: PlannedStage, will: StageForecast) -> str:
    size = stage.size or round(will.load.get("steps", 0) + will.first_step)
    return f"{size:,} {stage.unit}" if size else ""


def _sums(found: Forecast) -> list[str]:
    if all(stage.stored for stage in found.stages):
        lines = ["everything is stored: nothing is to be done"]
    else:
        lines = [
            f"about {short_duration(found.seconds.expected)} ({between(found.seconds)}), {gigabytes(round(found.peak_bytes.expected))} of memory"
        ]
        if _has_prices(found):
            cost = found.cost
            lines[0] += f", {found.prices.sign} {money(cost.expected)} ({money(cost.low)} to {money(cost.high)})"
        if found.slowdown > BUSY:
            lines.append(
                f"others keep this machine busy: everything takes {found.slowdown:.1f} times as long as it would alone"
            )
        if not found.has_history:
            lines.append("not all of these stages were run on this machine before: the times are rough")
    if found.prices.gb_month:
        lines.append(
            f"keeps about {gigabytes(round(found.num_bytes.expected))}: {found.prices.sign} {money(found.month_cost.expected)} a month"
        )
    return lines


def _has_prices(found: Forecast) -> bool:
    prices = found.prices
    return bool(prices.cpu_hour or prices.gpu_hour * prices.num_gpus or prices.gb_scanned)
