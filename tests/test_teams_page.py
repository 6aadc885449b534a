"""What docs/teams.md says is so: variables, numbers, commands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cengine.connections import patience
from cengine.store import leases

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "teams.md").read_text()
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.S) for line in block.splitlines()]


def test_the_variables_are_read() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "cengine").rglob("*.py"))
    names = set(re.findall(r"CENGINE_[A-Z]+", PAGE))
    assert names == {"CENGINE_STORE", "CENGINE_ARTIFACTS", "CENGINE_WORKSPACE"}
    for name in names:
        assert f'os.environ.get("{name}")' in source


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"for {patience.PATIENCE_SECONDS:g} seconds" in PAGE.replace("\n", " ")
    assert f"after {patience.FIRST_PATIENCE_SECONDS:g} seconds" in PAGE.replace("\n", " ")
    assert f"for {leases.LEASE_SECONDS:g} seconds is not waited for" in PAGE.replace("\n", " ")


def test_the_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = set(re.findall(r"cengine-ml\[(\w+)\]", PAGE))
    assert named == {"postgres", "s3", "gcs"}
    assert named <= set(extras)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("teams")


def test_the_commands_work_in_order(folder) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CENGINE_")}
    words = [shlex.split(line)[1:] for line in COMMANDS if line.startswith("cengine ")]
    assert len(words) == 4
    outputs = [
        subprocess.run(
            [sys.executable, "-m", "cengine.cli.main", *line],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        for line in words
    ]
    assert [done.returncode for done in outputs] == [0] * 4, outputs
    assert "forecasts" in outputs[1].stdout
    assert "(default) is active" in outputs[2].stdout
