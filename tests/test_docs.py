"""What the README and docs/ say is run: every command line, every YAML, every piece of Python."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml_blocks

from cengine.config.read import parse_config
from cengine.samples.trips import generate_trips

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder such as the README speaks of: trips and the README's YAML, shortened."""
    folder = tmp_path_factory.mktemp("readme")
    generate_trips(folder / "trips-1.csv.gz", 6000, num_stations=20)
    (folder / "citibike.yaml").write_text(shortened(yaml_blocks.of(README)[0]))
    return folder


def shortened(text: str) -> str:
    assert "train_steps: 1764" in text
    return text.replace("train_steps: 1764", "train_steps: 60").replace(
        "save_checkpoints_steps: 300", "save_checkpoints_steps: 30"
    )


def run(arguments: list[str], folder: Path, answer: str = "") -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "CENGINE_PROJECT"}
    command = [sys.executable, "-m", "cengine.cli.main", *arguments]
    return subprocess.run(
        command, cwd=folder, input=answer, capture_output=True, text=True, env=environment, timeout=300
    )


def test_the_commands_of_the_readme_work_in_order(folder: Path) -> None:
    generate_trips(folder / "new-trips.csv", 50, num_stations=20)
    lines = "".join(re.findall(r"```console\n(.*?)```", README, re.S)).splitlines()
    outputs = {}
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "cengine"
        done = run(arguments, folder, answer="Y\n")
        assert done.returncode == 0, done.stderr
        outputs[arguments[1]] = done.stdout
    assert "citibike_trips" in outputs["list"]
    assert "rows do not pass `where` or have no label" in outputs["run"]
    assert "Succeeded" in outputs["status"]
    assert "always saying" in outputs["evaluate"]
    assert "by start_station_name" in outputs["evaluate"]
    assert "50 rows predicted: predicted.parquet" in outputs["nyc_citibike_experiment"]


@pytest.mark.slow
def test_the_commands_of_the_page_about_running_work_in_order(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "running.md").read_text()
    text = (ROOT / "examples" / "trips.yaml").read_text()
    (tmp_path / "trips.yaml").write_text(re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 200", text))
    for block in re.findall(r"```console\n(.*?)```", page, re.S):
        for line in block.splitlines():
            _, program, *arguments = shlex.split(line)
            assert program == "cengine"
            done = run(arguments, tmp_path)
            assert done.returncode == 0, (line, done.stderr)
            if arguments[1] == "attach":
                assert "is succeeded" in done.stdout
    (settings,) = yaml_blocks.of(page)
    (tmp_path / ".cengine" / "settings.yaml").write_text(settings)
    assert "a month" in run(["pipeline", "run", "trips", "--explain"], tmp_path).stdout


@pytest.mark.slow
def test_the_commands_of_the_page_about_housekeeping_work_in_order(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "housekeeping.md").read_text()
    text = (ROOT / "examples" / "trips.yaml").read_text()
    (tmp_path / "trips.yaml").write_text(re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 200", text))
    outputs = {}
    for line in re.findall(r"^\$ (.*)$", page, re.M):
        program, *arguments = shlex.split(line)
        assert program == "cengine"
        done = run(arguments, tmp_path)
        assert done.returncode == 0, (line, done.stderr)
        outputs[line.removeprefix("cengine ")] = done.stdout
    assert "Train" in outputs["cache list"]
    assert "nothing is to go" in outputs["cache prune --max-size 10GB --yes"]
    assert "removed" in outputs["cache prune --all --yes"]
    assert "nothing is wrong" in outputs["cache verify --repair"]
    assert "no problems" in outputs["doctor"]
    for name, words in re.findall(r"## [^\n]*`(?:cache (\w+))`\n(.*?)(?=\n## )", page, re.S):
        shown = run(["cache", name, "--help"], tmp_path).stdout
        assert all(option in shown for option in re.findall(r"^\| `(--[a-z-]+)", words, re.M)), name
    (settings,) = yaml_blocks.of(page)
    (tmp_path / ".cengine" / "settings.yaml").write_text(settings)
    assert run(["pipeline", "run", "trips", "--explain"], tmp_path).returncode == 0


@pytest.mark.slow
def test_the_page_about_exports_is_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "export.md").read_text()
    text = (ROOT / "examples" / "trips.yaml").read_text()
    (tmp_path / "trips.yaml").write_text(re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 200", text))
    (block,) = re.findall(r"```console\n(.*?)```", page, re.S)
    outputs = []
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "cengine"
        done = run(arguments, tmp_path)
        assert done.returncode == 0, (line, done.stderr)
        outputs.append(done.stdout)
    assert "20,000 made-up ones" in outputs[4]
    assert "trips_model is whole" in outputs[-1]
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    check = "\nassert years.shape == (2,) and ((years > 1900) & (years < 2020)).all()"
    done = subprocess.run([sys.executable, "-c", code + check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_page_about_sql_is_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "sql.md").read_text()
    text = (ROOT / "examples" / "trips.yaml").read_text()
    (tmp_path / "trips.yaml").write_text(re.sub(r"(train_steps|epochs): [\d.]+", "train_steps: 200", text))
    (block,) = re.findall(r"```console\n(.*?)```", page, re.S)
    for line in block.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "cengine"
        done = run(arguments, tmp_path)
        assert done.returncode == 0, (line, done.stderr)
    assert "20,000 made-up ones" in done.stdout
    shown = run(["export", "--help"], tmp_path).stdout
    assert all(option in shown for option in re.findall(r"^\| `(--[a-z-]+)", page, re.M))
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    check = "\nassert len(oldest.fetchall()) == 5"
    done = subprocess.run([sys.executable, "-c", code + check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_python_of_the_readme_works(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    check = "\nassert len(predictions) == overall['num_rows'][0].as_py() and slices.num_rows > 1 and model.network.count_params() > 0"
    generate_trips(folder / "new-trips.csv", 50, num_stations=20)
    done = subprocess.run([sys.executable, "-c", code + check], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "always saying" in done.stdout


def test_every_command_of_the_table_exists_with_its_options() -> None:
    for group, block in re.findall(r"\| `cengine (\w+)` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", COMMANDS):
        for row in block.splitlines():
            left, right = row.replace("\\|", "/").strip("|").split("|")
            for words in re.findall(r"`([^`]+)`", left):
                name = words.split()[0]
                leaf = [group, name, "csv"] if name == "create" else [group, name]
                shown = run([*leaf, "--help"], ROOT).stdout
                for option in re.findall(r"--[a-z-_]+", left + right):
                    assert option.replace("_", "-") in shown, (leaf, option)


def test_the_makefile_has_the_two_commands() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^    make (\w+)$", README, re.M):
        assert re.search(rf"^{command}:", makefile, re.M)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_the_yaml_of_the_configuration_page_is_valid() -> None:
    for text in yaml_blocks.of((ROOT / "docs" / "configuration.md").read_text()):
        parse_config(text)


def test_the_page_of_words_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_words.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    for page in [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "examples" / "README.md",
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_nothing_names_a_registry_or_a_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    words = [
        "py" + "pi.org",
        "files.python" + "hosted",
        "/ro" + "ot/",
        "/ho" + "me/",
        "index" + "-url =",
        "registry.n" + "pmjs",
    ]
    for name in listed:
        text = (ROOT / name).read_text(errors="ignore") if (ROOT / name).is_file() else ""
        assert not [word for word in words if word in text], name
