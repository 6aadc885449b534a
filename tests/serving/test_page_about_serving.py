"""docs/serve.md: its commands run in order, and what it says of options, formats and statuses is so."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from served import Server

from cengine.serving import settings
from cengine.serving.app import READERS
from cengine.serving.batching import BATCH_ROWS
from cengine.serving.journal import FLUSH_ROWS, FLUSH_SECONDS
from cengine.serving.session import BOUND

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serve.md").read_text()
CENGINE = [sys.executable, "-m", "cengine.cli.main"]


@pytest.mark.slow
def test_its_commands_run_in_order(tmp_path, monkeypatch) -> None:
    text = (ROOT / "examples" / "trips.yaml").read_text()
    (tmp_path / "trips.yaml").write_text(re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 200", text))
    (tmp_path / "rows.csv").write_text(
        "end_station_id,gender,start_station_id,tripduration,usertype\n756,female,691,360,Subscriber\n,,,,\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CENGINE_PROJECT", raising=False)
    (typed,) = re.findall(r"```console\n(.*?)```", PAGE, re.S)
    *before, last = (shlex.split(line)[1:] for line in typed.splitlines())
    for words in before:
        done = subprocess.run([*CENGINE, *words], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
    assert last[0] == "serve"
    with Server(*last[1:]) as server:
        (asked,) = re.findall(r"```bash\n(.*?)```", PAGE, re.S)
        done = subprocess.run(
            ["bash", "-e", "-c", asked.replace(":8000", f":{server.port}")], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        first, rest = done.stdout.split("}]}", 1)
        told = json.loads(first + "}]}")
        assert "error" not in told, told
        assert (told["model"], list(told["predictions"][0])) == ("trips", ["prediction"])
        assert rest.startswith("prediction\n")
        assert "cengine_rows_total" in rest
    for line in re.findall(r"^    cengine (.*)$", PAGE, re.M):
        words = shlex.split(line)
        if words[0] == "serve":
            for name in ("model_1", "model_2"):
                subprocess.run(["cp", "-r", "trips_model", name], check=True)
            subprocess.run(
                [sys.executable, "-c", "import shutil; shutil.make_archive('kind', 'zip', 'trips_model')"], check=True
            )
            with Server(*words[1:]) as server:
                names = {one["name"] for one in server.post("/v2/repository/index", {}).json}
                assert names == {"price", "trips"}
            continue
        done = subprocess.run([*CENGINE, *words], capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)


def test_its_numbers_and_names_are_those_of_the_program() -> None:
    flat = " ".join(PAGE.split())
    assert f"`--max-rows` ({settings.MAX_ROWS:,}) or `--max-bytes` ({settings.MAX_BYTES // 2**20} MiB)" in flat
    assert f"`--queue` ({settings.QUEUE:,})" in flat
    assert f"`--drain` ({settings.DRAIN:g}) seconds" in flat
    assert f"at least {settings.MIN_TOKEN} characters" in flat
    assert f"every {FLUSH_SECONDS:g} seconds or {FLUSH_ROWS:,} rows" in flat
    assert f"up to {BATCH_ROWS:,} rows" in flat
    assert f"within {BOUND:.0e}".replace("e-0", "e-") in flat
    for name in READERS:
        assert name in PAGE or name.rpartition(".")[2] in PAGE
    shown = subprocess.run([*CENGINE, "serve", "--help"], capture_output=True, text=True).stdout
    for option in set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--name", "--data-binary", "--rows"}:
        assert option in shown, option
