"""How fast the page of a run with 5,000 slices reacts, in headless Chromium: milliseconds from a control to what is painted.

    python bench/page.py [--slices 5000] [--folder build/bench-page]

Runs two pipelines on a made-up table, writes the page with both runs on it, and works each control of the slicing view twelve
times. Prints the median and the largest, and the size of the page. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MUST_MS = 100
NUM_TRIES = 12
YAML = """
features: {{distance: {{}}, kind: {{}}}}
labels: {{seconds: {{loss: mse, metrics: [mae, mse]}}}}
split: {{ratio: {{train: 0.5, eval: 0.5}}}}
trainer: {{type: regression, layers: [{{type: dense, units: {units}}}], train_batch_size: 256, train_steps: 200}}
evaluator: {{slices: [[kind], [station], [kind, station]]}}
"""
# Works one control of the view and gives the milliseconds of each try, from the event until the frame is painted.
MEASURE = """
async ([act, tries]) => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = done;
    port1.postMessage(0);
  }));
  const control = (name) => document.querySelector(`[data-control="${name}"]`);
  const set = (name, value) => {
    const it = control(name);
    it.value = value;
    it.dispatchEvent(new Event(it.matches('select') ? 'change' : 'input', { bubbles: true }));
  };
  const header = (name) => [...document.querySelectorAll('thead button')].find((it) => it.textContent === name).click();
  const actions = {
    metric: (k) => set('metric', k % 2),
    columns: (k) => set('columns', k % 2 ? 1 : 0),
    buckets: (k) => set('buckets', 10 + 30 * (k % 3)),
    weight: (k) => set('weight', k % 2 ? 'rows' : 'slices'),
    threshold: (k) => set('smallest', 10 * (k % 4)),
    slider: (k) => set('slider', 10 * (k % 3)),
    text: (k) => set('text', ['', '1', '12', 'Station'][k % 4]),
    'sort by value': () => header('station'),
    'sort by metric': () => header('mae'),
    page: (k) => document.querySelector(`[data-page="${k % 2 ? 'previous' : 'next'}"]`).click(),
    bucket: (k) => document.querySelectorAll('.bars button')[5 + (k % 3)].click(),
    'second run': () => control('beside').click(),
  };
  if (act === null) return Object.keys(actions);
  const taken = [];
  set('columns', 1);
  for (let k = 0; k < tries; k += 1) {
    await painted();
    const start = performance.now();
    actions[act](k);
    await painted();
    taken.push(performance.now() - start);
    if (document.querySelectorAll('tbody tr').length === 0) throw new Error('nothing is shown');
  }
  return taken;
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=5000)
    parser.add_argument("--folder", type=Path, default=Path("build/bench-page"))
    arguments = parser.parse_args()
    page = written_page(arguments.folder, arguments.slices)
    print(
        f"page of two runs with {arguments.slices:,} slices a set: {page.stat().st_size / 1e6:.2f} MB (must be below 6)"
    )
    print(f"{'control':<16} {'median ms':>9} {'largest':>9}   (must be below {MUST_MS})")
    for name, taken in reactions(page).items():
        print(f"{name:<16} {statistics.median(taken):>9.0f} {max(taken):>9.0f}")


def written_page(folder: Path, num_slices: int) -> Path:
    """The page of two runs on a table whose column `station` has so many values."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pq.write_table(stations(num_slices), folder / "stations.parquet")
    cengine(folder, "datasource", "create", "parquet", "--name", "stations", "--path", folder / "stations.parquet")
    for number, units in enumerate((16, 4), start=1):
        (folder / f"{number}.yaml").write_text(YAML.format(units=units))
        cengine(folder, "pipeline", "push", folder / f"{number}.yaml", f"units_{units}")
        cengine(folder, "pipeline", "run", number, "-y")
    cengine(folder, "pipeline", "evaluate", 1, "--against", 2, "--no-open", "--output", folder)
    return folder / "report.html"


def stations(num_slices: int) -> pa.Table:
    """Made-up rows, about a hundred for each station."""
    rng = np.random.default_rng(0)
    station = rng.integers(0, num_slices, 100 * num_slices)
    distance = rng.gamma(2.0, 2.0, len(station))
    kind = rng.choice(["short", "long", "round"], len(station))
    seconds = 60 * distance * (1 + station % 7 / 10) + rng.normal(0, 30, len(station))
    names = np.array([f"Station {number} & Main St" for number in range(num_slices)])
    return pa.table({"station": names[station], "distance": distance, "kind": kind, "seconds": seconds})


def reactions(page: Path) -> dict[str, list[float]]:
    """For each control the milliseconds of each try."""
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CENGINE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        opened.goto(page.resolve().as_uri())
        print(f"opened in {time.perf_counter() - began:.2f} s")
        found = {}
        for name in opened.evaluate(MEASURE, [None, 0]):
            opened.reload()
            found[name] = opened.evaluate(MEASURE, [name, NUM_TRIES])
        browser.close()
    return found


def cengine(project: Path, *words: object) -> None:
    """Runs a command."""
    subprocess.run(
        [sys.executable, "-m", "cengine.cli.main", "--project", str(project), *map(str, words)],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    main()
