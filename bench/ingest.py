"""How long a CSV takes to be registered, beside an older checkout, in turns in one run.

python bench/ingest.py --rows 1000000 --old /path/of/an/older/checkout     # 33000000 rows are 5.2 GB

Makes the CSV with `cengine sample trips` outside of the repository. Prints seconds and CPU seconds of each turn and the ratios of the
best ones; on a busy machine compare CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent.parent
MEMORY_BYTES = 4 * 2**30
ONE = """
import json, os, sys, time
from cengine.datasources.catalogue import source_of
from cengine.datasources.register import take_snapshot
from cengine.store.project import open_project
began, before = time.monotonic(), os.times()
snapshot = take_snapshot(open_project(sys.argv[2]), source_of("csv", {"path": sys.argv[1]}), memory_bytes=int(sys.argv[3]), threads=int(sys.argv[4]) or None)
after = os.times()
print(json.dumps({"rows": snapshot.schema.num_rows, "seconds": time.monotonic() - began,
                  "cpu": after.user + after.system - before.user - before.system}))
"""


def main() -> None:
    """Registers the same CSV with both checkouts in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--old", type=Path, help="a checkout to compare with")
    parser.add_argument("--folder", type=Path, help="where CSV and snapshots lie for the time being")
    arguments = parser.parse_args()
    if arguments.old is not None and not (arguments.old / "src" / "cengine").is_dir():
        parser.error(f"'{arguments.old}' is no checkout: it has no src/cengine")
    folder = Path(tempfile.mkdtemp(prefix="cengine-bench-", dir=arguments.folder))
    try:
        table = folder / "trips.csv"
        subprocess.run(
            [sys.executable, "-m", "cengine.cli.main", "sample", "trips", str(table), "--rows", str(arguments.rows)],
            check=True,
            env=environment(HERE),
            stdout=subprocess.DEVNULL,
        )
        print(f"{arguments.rows:,} rows, {table.stat().st_size / 1e9:.2f} GB")
        checkouts = {"new": HERE} if arguments.old is None else {"old": arguments.old, "new": HERE}
        best: dict[str, dict[str, float]] = {}
        for turn in range(arguments.rounds):
            for name, checkout in checkouts.items():
                found = registered(checkout, table, folder, arguments.threads)
                print(f"{turn + 1} {name}: {found['seconds']:.1f} s, {found['cpu']:.1f} s of CPU", flush=True)
                best[name] = {key: min(found[key], best.get(name, found)[key]) for key in found}
        if arguments.old is not None:
            print(
                f"new / old: {best['new']['seconds'] / best['old']['seconds']:.2f} of seconds, {best['new']['cpu'] / best['old']['cpu']:.2f} of CPU"
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(checkout: Path) -> dict[str, str]:
    """An environment in which `cengine` is the one of a checkout."""
    return os.environ | {"PYTHONPATH": str(checkout / "src")}


def registered(checkout: Path, table: Path, folder: Path, threads: int) -> dict[str, float]:
    """What one turn took, in a process of its own."""
    project = folder / "project"
    answer = subprocess.run(
        [sys.executable, "-c", ONE, str(table), str(project), str(MEMORY_BYTES), str(threads)],
        check=True,
        env=environment(checkout),
        stdout=subprocess.PIPE,
        text=True,
    )
    shutil.rmtree(project)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
