"""An installation without extras: every source and engine says which one is missing, and the main job needs none of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import YAML, table_text

from cengine.engines.table import ENGINES
from cengine.sources import SOURCES

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow

# What a user types of each source, and the extra that it needs.
SOURCES_TYPED = {
    "csv": (["--path", "table.csv"], None),
    "parquet": (["--path", "s3://bucket/t.parquet"], "s3"),
    "json": (["--path", "gs://bucket/t.json"], "gcs"),
    "excel": (["--path", "missing.xlsx"], "excel"),
    "postgres": (["--uri", "postgresql://me@localhost/city", "--table", "t"], "postgres"),
    "mysql": (["--uri", "mysql://me@localhost/city", "--table", "t"], "mysql"),
    "sqlite": (["--uri", "missing.db", "--table", "t"], None),
    "duckdb": (["--uri", "missing.db", "--table", "t"], None),
    "delta": (["--path", "missing"], "delta"),
    "iceberg": (["--path", "missing/metadata.json"], "iceberg"),
    "bq": (["--project", "my-project-1", "--dataset", "city", "--table", "t"], "bigquery"),
}
ENGINES_TYPED = {
    "duckdb": None,
    "spark": "spark",
    "postgres": None,
    "bigquery": None,
}  # the last two only read tables of their own


class Bare:
    """An environment with nothing but what `pip install .` brings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "environment" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "environment")], check=True)
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--python", str(self.python)]
        subprocess.run([*uv, "--require-hashes", "-r", str(ROOT / "requirements" / "runtime.lock")], check=True)
        subprocess.run([*uv, "--no-deps", "--no-build-isolation", str(ROOT)], check=True)

    def __call__(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.python.with_name("cengine")), *words]
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        return subprocess.run(command, cwd=self.folder, env=kept | environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Bare:
    made = Bare(tmp_path_factory.mktemp("bare"))
    (made.folder / "table.csv").write_text(table_text())
    (made.folder / "config.yaml").write_text(YAML)
    return made


def test_the_main_job_needs_no_extra(bare) -> None:
    assert bare("--version").stdout.startswith("cengine ")
    for words in (
        ("datasource", "create", "csv", "--name", "table", "--path", "table.csv"),
        ("pipeline", "push", "config.yaml", "first"),
        ("pipeline", "run", "first", "--yes"),
        ("pipeline", "evaluate", "first", "--no-open"),
        ("doctor",),
    ):
        done = bare(*words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", SOURCES.own)
def test_a_source_names_the_extra_that_is_missing(bare, kind) -> None:
    assert kind in SOURCES_TYPED, "say what a user types of it"
    typed, extra = SOURCES_TYPED[kind]
    done = bare("datasource", "create", kind, "--name", f"of-{kind}", *typed)
    assert "bug" not in done.stderr
    if extra is not None:
        assert done.returncode == 4
        assert f"-m pip install 'cengine-ml[{extra}]'" in done.stderr
        assert "environment/bin/python" in done.stderr


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_engine_names_the_extra_that_is_missing(bare, name) -> None:
    assert name in ENGINES_TYPED, "say which extra it needs"
    bare("datasource", "create", "csv", "--name", "table", "--path", "table.csv")
    # Of a split of its own nothing is stored: what another engine has made would need none.
    (bare.folder / f"{name}.yaml").write_text(
        YAML.replace("split:\n", f"split:\n  seed: {sorted(ENGINES).index(name) + 7}\n")
    )
    bare("pipeline", "push", f"{name}.yaml", name)
    done = bare("pipeline", "run", name, "--yes", "--engine", name)
    assert "bug" not in done.stderr
    if ENGINES_TYPED[name] is not None:
        assert done.returncode in (4, 5)
        assert f"-m pip install 'cengine-ml[{ENGINES_TYPED[name]}]'" in done.stderr


def test_a_learner_names_the_extra_that_is_missing(bare) -> None:
    bare("datasource", "create", "csv", "--name", "table", "--path", "table.csv")
    yaml = re.sub(r"(?ms)^trainer:\n(  .*?\n)+", "trainer: {type: regression, architecture: boosted_trees}\n", YAML)
    assert "boosted_trees" in yaml
    (bare.folder / "trees.yaml").write_text(yaml)
    done = bare("pipeline", "push", "trees.yaml", "trees")
    assert done.returncode == 3
    assert "boosted trees need the package lightgbm" in done.stderr
    assert "-m pip install 'cengine-ml[trees]'" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "extra"),
    [
        ("CENGINE_STORE", "postgresql://me@localhost/records", "postgres"),
        ("CENGINE_ARTIFACTS", "s3://bucket/artifacts", "s3"),
    ],
)
def test_a_shared_store_names_the_extra_that_is_missing(bare, variable, value, extra) -> None:
    done = bare("workspace", "show", **{variable: value})
    assert done.returncode == 7
    assert f"-m pip install 'cengine-ml[{extra}]'" in done.stderr


def test_every_extra_of_the_project_is_tried() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    tried = {extra for _, extra in SOURCES_TYPED.values()} | set(ENGINES_TYPED.values()) | {"postgres", "s3", "trees"}
    # Tests of their own: tests/exports/test_export_command.py, tests/serving/test_lean_process.py.
    tried |= {"export", "serve"}
    # A notebook opens by itself, a keyring is asked if there is one, Azure's address is one of three.
    assert set(extras) - tried == {"notebook", "keyring", "azure"}
