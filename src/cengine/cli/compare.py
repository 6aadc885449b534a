"""`cengine pipeline compare`: finished runs side by side, at the terminal and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from cengine.cli.evaluate import shown_yardsticks
from cengine.cli.options import SETTINGS, json_option, looked_at
from cengine.cli.output import cell, defined, echo, interval, print_json, print_table, short_duration
from cengine.cli.pages import page_options, show_page, write_page
from cengine.cli.progress import Busy

if TYPE_CHECKING:
    from cengine.reports.compare import ComparedLabel, ComparedSplit, Comparison, RunOfSplit
    from cengine.reports.settings import Differing
    from cengine.reports.summary import MetricFacts

# So many runs have a column each in the table of settings; of more the values are counted.
MAX_SETTING_COLUMNS = 6
MAX_VALUE = 40


@click.command(context_settings=SETTINGS)
@click.argument("keys", nargs=-1, metavar="[ID|NAME[:RUN] ...]")
@click.option(
    "--against", metavar="ID|NAME[:RUN]", help="The run that the others are compared with. Default: the best one."
)
@click.option("--all", "show_all", is_flag=True, help="Show every run in the tables; by default the best 20.")
@page_options
@json_option
def compare(
    keys: tuple[str, ...],
    against: str | None,
    show_all: bool,
    with_page: bool,
    output: Path | None,
    no_open: bool,
    as_json: bool,
) -> None:
    """Compare finished runs: their metrics, whether these differ by more than noise, and what differs in their YAMLs.

    \b
    cengine pipeline compare              the newest finished run of each pipeline
    cengine pipeline compare 1 2:3        the newest of pipeline 1 with run 3 of pipeline 2
    cengine pipeline compare '1:*'        all runs of pipeline 1

    A difference is taken row by row over the rows that both runs evaluated, with its 95 % interval.
    """
    from cengine.inspection.compare import choose_runs, compare_runs, comparison_file

    home = looked_at()
    chosen = choose_runs(home, keys, against)
    with Busy() as busy:
        comparison = compare_runs(chosen, against, busy.say)
    page = {"with_page": with_page, "no_open": no_open}
    target = write_page(
        lambda: _page(comparison, home.cache), comparison_file(home, chosen.runs), output=output, **page
    )
    if as_json:
        print_json(comparison)
    else:
        _print(comparison, 20 if not show_all else None)
    show_page(target, as_json=as_json, **page)


def _page(comparison: Comparison, cache: Path) -> str:
    from cengine.reports.compare import page

    return page(comparison, cache=cache)


def _print(comparison: Comparison, num_runs: int | None) -> None:
    runs = {run["key"]: run for run in comparison["runs"]}
    print_table(
        ("Run", "Pipeline", "Datasource", "Rows", "Started (UTC)", "Took"),
        [
            (
                key,
                run["pipeline"],
                run["data"]["datasource"],
                run["data"]["rows"],
                run["started_at"][:19].replace("T", " "),
                short_duration(run["seconds"]),
            )
            for key, run in runs.items()
        ],
    )
    for entry in comparison["left_out"]:
        echo(f"left out: {cell(entry['name'])}, {cell(entry['reason'])}")
    for label in comparison["labels"]:
        for split in label["splits"]:
            _print_split(label, split, num_runs)
    for alone in comparison["alone"]:
        echo(
            f"\nlabel {cell(alone['label'])} ({alone['task']}) is in {alone['run']} only, and is compared with nothing"
        )
    if comparison["note"]:
        echo(f"\n{comparison['note']}")
    _print_settings(comparison["differing"], list(runs))


def _print_split(label: ComparedLabel, split: ComparedSplit, num_runs: int | None) -> None:
    """The metrics of one label in one split, best first, and what the first one's differences mean."""
    rows: list[tuple[object, ...]] = []
    reference = split["reference"]
    every = [found for run in split["runs"] for found in run["metrics"].values()]
    names = shown_yardsticks(every)
    num_left_out = 0
    for metric in label["metrics"]:
        ordered = _best_first(split["runs"], metric)
        shown = ordered if num_runs is None else ordered[:num_runs]
        num_left_out = len(ordered) - len(shown)
        for run in shown:
            found = run["metrics"][metric["name"]]
            against = found["against"]
            difference, ends = (
                (defined(against["difference"]), interval(against["low"], against["high"])) if against else (None, "")
            )
            rows.append(
                (
                    metric["name"],
                    run["run"],
                    "*" if found["best"] else "",
                    defined(found["model"]),
                    interval(found["low"], found["high"]),
                    defined(found["constant"]),
                    *(defined(cast(Mapping[str, Any], found).get(name)) for name in names),
                    difference,
                    ends,
                    against["verdict"] if against else "",
                    run["num_rows"],
                )
            )
    echo(f"\n{cell(label['name'])}, {cell(split['name'])}; differences are from {reference}, * is the best")
    print_table(
        (
            "Metric",
            "Run",
            "",
            "Model",
            "95 %",
            "Constant",
            *("PCA" if name == "pca" else name.capitalize() for name in names),
            "Difference",
            "95 % of it",
            "",
            "Rows",
        ),
        rows,
    )
    if num_left_out:
        echo(f"and {num_left_out} more: --all")
    first = label["metrics"][0]
    sentences = [run["metrics"][first["name"]]["against"] for run in _best_first(split["runs"], first)]
    told = [found["sentence"] for found in sentences if found]
    echo(
        "\n"
        + "\n".join(
            cell(text.replace("\u2068", "").replace("\u2069", ""))
            for text in (told if num_runs is None else told[:num_runs])
        )
    )


def _best_first(runs: Sequence[RunOfSplit], metric: MetricFacts) -> list[RunOfSplit]:
    def rank(run: RunOfSplit) -> tuple[bool, float]:
        value = run["metrics"][metric["name"]]["model"]
        return value is None, 0.0 if value is None else -value if metric["higher_is_better"] else value

    return sorted(runs, key=rank)


def _print_settings(rows: Sequence[Differing], keys: Sequence[str]) -> None:
    if not rows:
        echo("\ntheir configurations and data are the same")
        return
    echo(f"\n{len(rows)} {'setting differs' if len(rows) == 1 else 'settings differ'}")
    if len(keys) <= MAX_SETTING_COLUMNS:
        told = [
            [row["path"], *(_setting(row["values"][key]) if key in row["values"] else "" for key in keys)]
            for row in rows
        ]
        print_table(("Setting", *keys), told)
        return
    print_table(("Setting", "Values (runs)"), [(row["path"], _counted(row["values"], len(keys))) for row in rows])


def _counted(values: dict[str, Any], num_runs: int) -> str:
    """The values with the number of runs that have each."""
    counts: dict[str, int] = {}
    for value in values.values():
        counts[_setting(value)] = counts.get(_setting(value), 0) + 1
    if len(values) < num_runs:
        counts["not set"] = num_runs - len(values)
    shown = [f"{value} ({count})" for value, count in list(counts.items())[:8]]
    return ", ".join(shown) + (", ..." if len(counts) > 8 else "")


def _setting(value: object) -> str:
    from cengine.reports.formats import setting

    told = setting(value)
    return told if len(told) <= MAX_VALUE else f"{told[: MAX_VALUE - 1]}…"
