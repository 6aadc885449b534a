"""`cengine pipeline tensorboard`: a real server on the loopback interface, asked what its pages ask."""

from __future__ import annotations

import json
import re
import shutil
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

import psutil
import pytest
from terminal import YAML, Terminal, Typed, table_text

from cengine.inspection.tensorboard import chosen_runs
from cengine.store.project import Project
from cengine.store.rows import PipelineRow

PATIENCE_SECONDS = 60
RELOAD_SECONDS = 5
WIDE = YAML.replace("units: 4", "units: 9")
ENDLESS = YAML.replace("train_steps: 20", "train_steps: 50000000").replace(
    "save_checkpoints_steps: 10", "save_checkpoints_steps: 500"
)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """A terminal with two runs of one pipeline, the second of which trained nothing anew, and one of another."""
    folder = tmp_path_factory.mktemp("tensorboard")
    terminal = Terminal(folder / "project", folder)
    terminal("datasource", "create", "csv", "--name", "t", "--path", terminal.write("t.csv", table_text()))
    terminal("pipeline", "push", terminal.write("c.yaml", YAML), "birth_year")
    terminal("pipeline", "push", terminal.write("w.yaml", WIDE), "../../<b>wide</b>")
    terminal("pipeline", "push", terminal.write("e.yaml", ENDLESS), "endless")
    for name in ("1", "1", "2"):
        terminal("pipeline", "run", name, "-y")
    return terminal


class Server:
    """A TensorBoard that the command has started."""

    def __init__(self, terminal: Terminal, *words: str) -> None:
        self.typed: Typed = terminal.start("pipeline", "tensorboard", *words, "--port", "0", "--no-open")
        self.told = self.typed.process.stdout.readline()
        found = re.search(r"(http://127\.0\.0\.1:\d+/)\?smoothing=0$", self.told.strip())
        assert found, f"{self.told} {self.typed.answer()}"
        self.address = found.group(1)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.typed.process.poll() is None:
            self.typed.kill()

    def get(self, path: str, **parameters: str) -> bytes:
        with urllib.request.urlopen(
            f"{self.address}data/{path}?{urllib.parse.urlencode(parameters)}", timeout=20
        ) as answer:
            return answer.read()

    def json(self, path: str, **parameters: str):
        return json.loads(self.get(path, **parameters))

    def post(self, path: str, **body: object):
        request = urllib.request.Request(
            self.address + "data/" + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())

    def waits_for(self, happened):
        """What `happened()` gives once it is something; TensorBoard reads its files every few seconds."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (found := happened()):
            assert self.typed.process.poll() is None, self.typed.answer()
            assert time.monotonic() < end, f"it never happened; there is {self.json('runs')}"
            time.sleep(0.2)
        return found

    def has(self, *runs: str) -> None:
        """Waits until it shows these runs."""
        wanted = sorted(name for run in runs for name in (run, f"{run}/eval", f"{run}/train"))
        self.waits_for(lambda: sorted(self.json("runs")) == wanted)


@pytest.fixture(scope="module")
def server(terminal):
    """A TensorBoard of all runs of both pipelines."""
    with Server(terminal, "birth_year", "2") as started:
        started.has("birth_year-1", "birth_year-2", "b-wide-b-1")
        yield started


def test_it_says_what_it_shows(server) -> None:
    assert server.told.startswith("TensorBoard shows birth_year-1, birth_year-2, b-wide-b-1: http://127.0.0.1:")


def test_only_this_machine_can_ask(server) -> None:
    (listening,) = [
        c for c in psutil.Process(server.typed.process.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert listening.laddr.ip == "127.0.0.1"


def test_scalars(server) -> None:
    tags = server.json("plugin/scalars/tags")
    assert set(tags["birth_year-1/train"]) == {"loss", "mae", "running_loss"}
    assert set(tags["birth_year-1/eval"]) == set(tags["birth_year-1"]) == {"loss", "mae"}
    points = server.json("plugin/scalars/scalars", run="b-wide-b-1/eval", tag="mae")
    assert [step for _, step, _ in points] == [10, 20]


def test_graph(server) -> None:
    info = server.json("plugin/graphs/info")
    assert {name: about["run_graph"] for name, about in info.items()} == dict.fromkeys(
        ("birth_year-1", "birth_year-2", "b-wide-b-1"), True
    )
    graph = server.get(
        "plugin/graphs/graph", run="b-wide-b-1", limit_attr_size="1024", large_attrs_key="_too_large_attrs"
    ).decode()
    assert re.findall(r'^  name: "(\w+)"$', graph, re.M)[-3:] == ["dense", "output_0", "unit_0"]
    assert "_too_large_attrs" not in graph


def test_histograms(server) -> None:
    tags = server.json("plugin/histograms/tags")
    assert set(tags) == {"birth_year-1", "birth_year-2", "b-wide-b-1"}
    steps = server.json("plugin/histograms/histograms", run="b-wide-b-1", tag="weights/dense/bias")
    assert [step for _, step, _ in steps] == [10, 20]
    assert sum(count for _, _, count in steps[-1][2]) == 9


def test_hyperparameters(server) -> None:
    experiment = server.post("plugin/hparams/experiment")
    assert sorted(info["name"] for info in experiment["hparamInfos"] if info["differs"]) == ["layers", "num_weights"]
    found = server.post(
        "plugin/hparams/session_groups", allowedStatuses=["STATUS_SUCCESS"], startIndex=0, sliceSize=9, colParams=[]
    )
    sessions = {group["name"]: group for group in found["sessionGroups"]}
    assert {name: group["hparams"]["layers"] for name, group in sessions.items()} == {
        "birth_year-1": "dense(4)",
        "birth_year-2": "dense(4)",
        "b-wide-b-1": "dense(9)",
    }
    kept = next(v for v in sessions["b-wide-b-1"]["metricValues"] if v["name"] == {"tag": "mae", "group": ""})
    points = server.json("plugin/scalars/scalars", run="b-wide-b-1/eval", tag="mae")
    assert [kept["trainingStep"], kept["value"]] in [[step, value] for _, step, value in points]


def test_ctrl_c_ends_it_cleanly(terminal) -> None:
    with Server(terminal, "1:2") as server:
        server.has("birth_year-2")
        answer = server.typed.interrupt()
        assert (answer.code, answer.err.replace("\r", "")) == (0, "")
        with pytest.raises(urllib.error.URLError):
            server.get("runs")


def unfinished(terminal: Terminal) -> set:
    """The curves of trainings that are not complete."""
    return set((terminal.project.folder / "artifacts" / ".work").glob("Train-*/tensorboard/train/*points"))


def test_a_run_that_is_going_on(terminal) -> None:
    """It appears, its curves grow, and when the run is over and its files have moved they are all still there."""
    run = terminal.start("pipeline", "run", "endless", "-y")
    try:
        run.waits_for(lambda: unfinished(terminal))
        with Server(terminal, "endless") as server:
            server.has("endless-1")

            def steps() -> int:
                return len(server.json("plugin/scalars/scalars", run="endless-1/train", tag="loss"))

            first = steps()
            assert first
            server.waits_for(lambda: steps() > first)
            statuses = server.post(
                "plugin/hparams/session_groups",
                allowedStatuses=["STATUS_UNKNOWN"],
                startIndex=0,
                sliceSize=9,
                colParams=[],
            )
            assert [group["name"] for group in statuses["sessionGroups"]] == ["endless-1"]
    finally:
        assert run.interrupt().code == 130
    # Interrupted, it is shown as long as what it made is kept.
    assert chosen_runs(terminal.project, ["endless"]).linked() == ["endless-1"]


def test_runs_that_begin_and_end_while_they_are_shown(terminal, tmp_path) -> None:
    """The files of a run move when its training is complete: afterwards every step is there, once."""
    shutil.copytree(terminal.folder, tmp_path / "project", symlinks=True)
    other = Terminal(tmp_path / "project", terminal.files)
    longer = YAML.replace("train_steps: 20", "train_steps: 60000").replace(
        "save_checkpoints_steps: 10", "save_checkpoints_steps: 2000"
    )
    other("pipeline", "push", other.write("l.yaml", longer), "longer")
    before = unfinished(other)
    run = other.start("pipeline", "run", "longer", "-y")
    run.waits_for(lambda: unfinished(other) - before)
    with Server(other, "longer", "2") as server:
        server.has("longer-1", "b-wide-b-1")
        assert server.typed.process.poll() is None
        assert run.answer().code == 0
        other("pipeline", "run", "2", "-y")
        server.has("longer-1", "b-wide-b-1", "b-wide-b-2")

        def ended() -> list[str]:
            found = server.post(
                "plugin/hparams/session_groups",
                allowedStatuses=["STATUS_SUCCESS"],
                startIndex=0,
                sliceSize=9,
                colParams=[],
            )
            return [group["name"] for group in found["sessionGroups"] if group["name"] == "longer-1"]

        server.waits_for(ended)
        for split in ("train", "eval"):
            points = server.json("plugin/scalars/scalars", run=f"longer-1/{split}", tag="loss")
            assert [step for _, step, _ in points] == list(range(2000, 60001, 2000))
        histograms = server.json("plugin/histograms/histograms", run="longer-1", tag="weights/dense/kernel")
        assert [step for _, step, _ in histograms] == list(range(2000, 60001, 2000))


# The folder of links


def links(chosen) -> dict[str, str]:
    chosen.linked()
    return {link.name: str(link.readlink()) for link in chosen.folder.iterdir()}


def test_links_are_relative_so_that_the_project_can_be_moved(terminal, tmp_path) -> None:
    chosen_runs(terminal.project, ["birth_year"])
    shutil.copytree(terminal.folder, tmp_path / "moved", symlinks=True)
    moved = Project(tmp_path / "moved" / ".cengine")
    found = {link.name: link.resolve() for link in (moved.folder / "tensorboard" / "1").iterdir()}
    assert set(found) == {"birth_year-1", "birth_year-2"}
    assert all(folder.is_relative_to(moved.folder) and (folder / "train").is_dir() for folder in found.values())
    assert links(chosen_runs(moved, ["birth_year"])) == links(chosen_runs(terminal.project, ["birth_year"]))


def pipeline_row(row_id: int, name: str) -> PipelineRow:
    return PipelineRow(row_id, name, "c.yaml", "", 1, "", 1)


@pytest.mark.parametrize(("name", "shown"), [
    ("birth year", "birth-year"), ("a/b\\c", "a-b-c"), ("..", "pipeline.1"), ("🚲", "pipeline.1"), ("größe", "größe"), ("-x-", "x"),
    ("x" * 300, "x" * 60), ("عنوان\u202e", "عنوان"), ("a\nb\0c", "a-b-c"), ("", "pipeline.1"), ("CON.1", "CON-1"),
])  # fmt: skip
def test_names_of_pipelines_become_names_of_folders(name, shown) -> None:
    from cengine.inspection.tensorboard import _names_of

    assert _names_of([pipeline_row(1, name)]) == {1: shown}
    assert len(shown.encode()) < 200


def test_names_that_would_be_the_same_are_told_apart() -> None:
    from cengine.inspection.tensorboard import _names_of

    names = {3: "a b", 4: "a-b", 5: "A b", 6: "other", 7: "!", 8: "?"}
    assert _names_of([pipeline_row(i, name) for i, name in names.items()]) == {
        3: "a-b.3",
        4: "a-b.4",
        5: "A-b.5",
        6: "other",
        7: "pipeline.7",
        8: "pipeline.8",
    }


def test_the_same_choice_has_the_same_folder_and_loses_what_is_not_chosen(terminal) -> None:
    chosen = chosen_runs(terminal.project, ["1:2", "birth_year:2"])
    assert chosen == chosen_runs(terminal.project, ["1:2"])
    (chosen.folder / "stale-7").symlink_to("nowhere")
    assert set(links(chosen)) == {"birth_year-2"}
    many = chosen_runs(terminal.project, [f"1:{1 + i % 2}" for i in range(4)])
    assert many.folder.name == "1-1_1-2"


def test_what_cannot_be_shown(terminal) -> None:
    terminal("pipeline", "push", terminal.write("n.yaml", YAML.replace("units: 4", "units: 5")), "never")
    for words, said in (
        (["nothing"], "there is no pipeline 'nothing'"),
        (["never"], "pipeline 'never' was never run"),
        (["1:9"], "pipeline 'birth_year' has no run 9"),
        (["1:x"], "'x' is not the number of a run"),
    ):
        answer = terminal("pipeline", "tensorboard", *words, "--no-open", code=7)
        assert said in answer.err


def test_a_port_that_is_taken(terminal) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        typed = terminal.start("pipeline", "tensorboard", "1", "--no-open", "--port", taken.getsockname()[1])
        answer = typed.answer()
    assert answer.code == 1
    assert "already in use" in answer.err
    assert "leave --port out for the next free one" in answer.err
    assert "Traceback" not in answer.err
