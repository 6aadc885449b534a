"""`cengine cache list|prune|verify`: what the project folder holds, what may go, whether it is whole."""

from __future__ import annotations

import datetime
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from cengine.cli.options import SETTINGS, Age, Size, json_option, looked_at, project
from cengine.cli.output import confirm, console, echo, print_json, print_table, short_age, short_bytes, short_duration

if TYPE_CHECKING:
    from cengine.store.cache import Choice, Entry
    from cengine.store.project import Project
    from cengine.store.verify import Finding, Verification

NUM_SHOWN_RUNS = 4


@click.group(context_settings=SETTINGS)
def cache() -> None:
    """What is stored, what may go, whether it is whole."""


@cache.command("list", context_settings=SETTINGS)
@click.option(
    "--sort",
    type=click.Choice(["size", "used"]),
    default="size",
    show_default=True,
    help="Largest, or longest unused, first.",
)
@json_option
def list_(sort: str, as_json: bool) -> None:
    """Each artifact: its size, when it was last used, what it took, which runs use it."""
    from cengine.store.cache import beside, entries, to_json

    home = looked_at()
    found = sorted(entries(home), key=lambda entry: -entry.num_bytes if sort == "size" else entry.used_at)
    others = beside(home)
    totals = _totals(found)
    if as_json:
        print_json(
            {
                "artifacts": [to_json(entry) for entry in found],
                "totals": totals,
                "beside": others,
                "total_bytes": sum(totals.values()) + sum(others.values()),
            }
        )
        return
    _print_entries(found)
    rows: list[tuple[str, int | None, str]] = [
        (kind, sum(entry.kind == kind for entry in found), short_bytes(size)) for kind, size in totals.items()
    ]
    rows += [(kind, None, short_bytes(size)) for kind, size in others.items() if size]
    rows.append(("all", len(found), short_bytes(sum(totals.values()) + sum(others.values()))))
    echo()
    print_table(("Kind", "Number", "Size"), rows)


@cache.command(context_settings=SETTINGS)
@click.option(
    "--max-size", "max_bytes", type=Size(), help="Remove until the artifacts take no more than this, e.g. 10GB."
)
@click.option("--unused-for", "unused_seconds", type=Age(), help="Remove what was not used for so long, e.g. 30d, 12h.")
@click.option("--all", "everything", is_flag=True, help="Remove all that nobody needs just now.")
@click.option(
    "--snapshots",
    is_flag=True,
    help="Let tables of datasources go too: they can be read again only while their files are there.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def prune(
    max_bytes: int | None,
    unused_seconds: float | None,
    everything: bool,
    snapshots: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove artifacts, the least recently used first; a run that needs one builds it again.

    What a run that goes on needs or builds stays; so do reports, logs and the records.
    """
    from cengine.store.cache import choose, entries, remove, to_json

    if max_bytes is None and unused_seconds is None and not everything:
        raise click.UsageError("say what is to go: --max-size 10GB, --unused-for 30d or --all")
    home = looked_at() if dry_run else project()
    choice = choose(
        entries(home), max_bytes=max_bytes, unused_seconds=unused_seconds, everything=everything, snapshots=snapshots
    )
    if not as_json:
        _explain(home, choice)
    if dry_run or not choice.going:
        gone: list[Entry] = []
    else:
        if not yes:
            _ask(as_json)
        gone = [entry for entry, went in remove(home, choice) if went]
    freed = sum(entry.num_bytes for entry in gone)
    if as_json:
        print_json(
            {
                "going": [to_json(entry) for entry in choice.going],
                "spared": [{**to_json(entry), "why": why} for entry, why in choice.spared],
                "removed": len(gone),
                "freed_bytes": freed,
                "build_seconds": choice.build_seconds,
                "runs": choice.runs,
                "over_bytes": choice.missing_bytes,
            }
        )
    elif gone:
        stayed = len(choice.going) - len(gone)
        echo(
            f"\nremoved {len(gone)}, {short_bytes(freed)} freed"
            + (f"; {stayed} are in use by now and stay" if stayed else "")
        )


@cache.command(context_settings=SETTINGS)
@click.option("--repair", is_flag=True, help="Remove what is damaged or in the way; the next run builds it again.")
@click.option("--snapshots", is_flag=True, help="Let --repair remove damaged tables of datasources too.")
@json_option
def verify(repair: bool, snapshots: bool, as_json: bool) -> None:
    """Whether every file is what was written, and the records fit. Exit code 7 where something is wrong."""
    from cengine.errors import StoreError
    from cengine.store.verify import repair as mend

    home = project() if repair else looked_at()
    began = time.monotonic()
    result = _verified(home)
    seconds = time.monotonic() - began
    mended = [finding for finding in result.findings if repair and mend(home, finding, snapshots=snapshots)]
    wrong = [finding for finding in result.wrong if finding not in mended]
    if as_json:
        findings = [_finding_json(finding, finding in mended) for finding in result.findings]
        print_json(
            {
                "artifacts": result.num_artifacts,
                "files": result.num_files,
                "bytes": result.num_bytes,
                "seconds": seconds,
                "without_digests": result.num_without_digests,
                "wrong": len(wrong),
                "findings": findings,
            }
        )
    else:
        _print_verified(result, mended, seconds)
    if wrong:
        raise click.exceptions.Exit(StoreError.exit_code)


def _totals(found: list[Entry]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for entry in found:
        totals[entry.kind] = totals.get(entry.kind, 0) + entry.num_bytes
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def _print_entries(found: list[Entry]) -> None:
    rows = [
        (
            entry.kind,
            entry.fingerprint[:12],
            short_bytes(entry.num_bytes),
            _ago(entry.used_at),
            None if entry.seconds is None else short_duration(entry.seconds),
            _users(entry),
            entry.needed,
        )
        for entry in found
    ]
    print_table(("Kind", "Fingerprint", "Size", "Last used", "Took", "Used by", "In use"), rows)


def _users(entry: Entry) -> str:
    runs = list(entry.runs[-NUM_SHOWN_RUNS:])
    shown = ([f"{len(entry.runs) - len(runs)} more"] if len(entry.runs) > len(runs) else []) + runs
    return ", ".join([*entry.datasources, *shown])


def _ago(moment: float) -> str:
    seconds = time.time() - moment
    if seconds < 0:  # a clock that was set back
        return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d")
    return short_age(seconds)


def _explain(home: Project, choice: Choice) -> None:
    if choice.going:
        _print_entries(list(choice.going))
        echo(
            f"\n{len(choice.going)} go, {short_bytes(choice.freed_bytes)} of {short_bytes(choice.total_bytes)}; "
            f"building them again takes about {short_duration(choice.build_seconds)}{_cost(home, choice)}"
        )
        if choice.runs:
            shown = ", ".join(choice.runs[:8]) + (", ..." if len(choice.runs) > 8 else "")
            echo(f"runs that can be looked at again only after they were run again: {shown}")
        if any(entry.unfinished for entry in choice.going):
            echo("unfinished stages begin anew without what they kept")
    else:
        echo(f"nothing is to go; the artifacts take {short_bytes(choice.total_bytes)}")
    _explain_staying(choice)


def _explain_staying(choice: Choice) -> None:
    for reason in dict.fromkeys(reason for _, reason in choice.spared):
        some = [entry for entry, why in choice.spared if why == reason]
        echo(f"{len(some)} stay ({short_bytes(sum(entry.num_bytes for entry in some))}): {reason}")
    if choice.missing_bytes:
        echo(f"that is still {short_bytes(choice.missing_bytes)} more than {short_bytes(choice.max_bytes or 0)}")


def _cost(home: Project, choice: Choice) -> str:
    from cengine.forecast.costs import costs_of
    from cengine.store.settings import read_settings

    prices = read_settings(home.folder).prices
    costs = costs_of(
        [{"name": entry.stage, "seconds": entry.seconds, "saved_seconds": 0.0} for entry in choice.going], prices, None
    )
    total = costs.compute + costs.training
    return f" and costs {prices.sign} {total:.2f}" if total else ""


def _ask(as_json: bool) -> None:
    from cengine.errors import CengineError

    if as_json or not sys.stdin.isatty():
        raise CengineError(
            "there is no terminal to answer at", "add -y to remove without asking, --dry-run only to look"
        )
    if not confirm("\nremove them?", default=True):
        echo("nothing was removed")
        raise click.exceptions.Exit(1)


def _verified(home: Project) -> Verification:
    """`verify` with a bar where the output is a terminal."""
    from cengine.store.verify import total_bytes, verify

    if not sys.stderr.isatty():
        return verify(home)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    lock = threading.Lock()
    with Progress(
        TextColumn("Verify"),
        BarColumn(bar_width=30),
        TextColumn("{task.percentage:>3.0f} %"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console(),
    ) as bar:
        task = bar.add_task("verify", total=total_bytes(home))

        def report(num_bytes: int) -> None:
            with lock:
                bar.advance(task, num_bytes)

        return verify(home, report)


def _print_verified(result: Verification, mended: list[Finding], seconds: float) -> None:
    rate = f", {short_bytes(int(result.num_bytes / seconds))}/s" if seconds > 0.5 else ""
    echo(
        f"{result.num_artifacts} artifacts, {result.num_files} files, {short_bytes(result.num_bytes)} read in {short_duration(seconds)}{rate}"
    )
    if result.num_without_digests:
        echo(
            f"{result.num_without_digests} artifacts of an older version have no digests; of them only the presence is known"
        )
    for finding in result.findings:
        label = "mended" if finding in mended else "wrong" if finding.wrong else "note"
        echo(f"{label}: {finding.what}")
        if finding not in mended:
            echo(f"  = {finding.mend}")
    num_wrong = len([finding for finding in result.wrong if finding not in mended])
    echo(f"{num_wrong} wrong" if num_wrong else "nothing is wrong")


def _finding_json(finding: Finding, mended: bool) -> dict[str, Any]:
    return {
        "what": finding.what,
        "mend": finding.mend,
        "wrong": finding.wrong,
        "stage": finding.stage,
        "fingerprint": finding.fingerprint,
        "mended": mended,
    }
