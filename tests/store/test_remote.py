"""Artifacts at a shared place: what one machine completes another finds, whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from servers import free_port, s3_server

from cengine.connections import patience
from cengine.errors import StoreError
from cengine.store.artifacts import Artifacts
from cengine.store.places import open_place
from cengine.store.records import Records
from cengine.store.remote import ABANDONED_SECONDS, Remote

KEY = "ab" + "0" * 62
PATH = f"Fit/ab/{KEY}"


@pytest.fixture(params=["folder", "s3"])
def address(request, tmp_path, monkeypatch) -> str:
    """A new place: a folder, or a bucket with a prefix."""
    if request.param == "folder":
        (tmp_path / "shared").mkdir(mode=0o700)
        return str(tmp_path / "shared")
    server = request.getfixturevalue("s3")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{server.new_bucket()}/team/one"


@pytest.fixture
def machines(address, tmp_path):
    """Two machines that share the place."""
    return [Artifacts(tmp_path / name, Remote(open_place(address))) for name in ("here", "there")]


def build(artifacts, text: str = "hello") -> None:
    with artifacts.building("Fit", KEY) as building:
        assert building is not None
        (building.folder / "sub").mkdir()
        (building.folder / "sub" / "data ü.txt").write_text(text)
        building.details["note"] = "ü"


def leftovers(artifacts) -> list:
    return list((artifacts.root / ".work").glob("*"))


def test_what_one_builds_the_other_finds(machines) -> None:
    here, there = machines
    assert there.find("Fit", KEY) is None
    build(here)
    found = there.find("Fit", KEY)
    assert (found.folder / "sub" / "data ü.txt").read_text() == "hello"
    assert found.folder.is_relative_to(there.root)
    assert found.details == {"note": "ü"}
    assert found.seconds == here.find("Fit", KEY).seconds
    with there.building("Fit", KEY) as building:
        assert building is None
    assert leftovers(here) == leftovers(there) == []


def test_what_was_fetched_stays_when_the_place_is_away(machines) -> None:
    here, there = machines
    build(here)
    there.find("Fit", KEY)
    alone = Artifacts(there.root)
    assert alone.find("Fit", KEY) is not None


def test_it_is_not_seen_before_it_is_complete(machines) -> None:
    here, there = machines
    with here.building("Fit", KEY) as building:
        (building.folder / "data.txt").write_text("x" * 1000)
        assert there.find("Fit", KEY) is None
    assert there.find("Fit", KEY) is not None


def test_an_upload_that_is_cut_off_is_not_seen_and_made_good(machines, monkeypatch) -> None:
    here, there = machines
    place = here.remote.place
    write = type(place).write
    monkeypatch.setattr(type(place), "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        build(here)
    monkeypatch.setattr(type(place), "write", write)
    assert len(place.children(PATH)) == 1  # the files are there
    assert there.find("Fit", KEY) is None
    assert here.find("Fit", KEY) is not None  # what was built is kept
    with here.building("Fit", KEY) as building:
        assert building is None
    assert there.find("Fit", KEY) is not None


def test_an_abandoned_upload_is_cleared_by_the_next(machines) -> None:
    here, _ = machines
    place = here.remote.place
    old = f"{PATH}/{int(time.time() - ABANDONED_SECONDS - 10)}-abc"
    place.write(f"{old}/data.txt", b"half")
    place.write(f"{PATH}/{int(time.time())}-def/data.txt", b"on its way")
    build(here)
    names = place.children(PATH)
    assert len(names) == 3  # the manifest, what is on its way, and ours
    assert not any(name.endswith("-abc") for name in names)


def test_two_that_upload_the_same_do_not_mix(machines) -> None:
    here, there = machines
    for artifacts, text in ((here, "one"), (there, "the other one")):
        alone = Artifacts(artifacts.root)
        build(alone, text)
    third = Artifacts(here.root.parent / "third", here.remote)
    threads = [threading.Thread(target=a.remote.share, args=("Fit", KEY, a.folder("Fit", KEY))) for a in (here, there)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (third.find("Fit", KEY).folder / "sub" / "data ü.txt").read_text()
    assert text in ("one", "the other one")


@pytest.mark.parametrize("content", [b"hellO", b"hell", b""])
def test_a_damaged_file_is_noticed_and_leaves_nothing(machines, content) -> None:
    here, there = machines
    build(here)
    upload = json.loads(here.remote.place.read(f"{PATH}/manifest.json"))["upload"]
    here.remote.place.write(f"{PATH}/{upload}/sub/data ü.txt", content)
    with pytest.raises(StoreError, match="is damaged") as caught:
        there.find("Fit", KEY)
    assert PATH in str(caught.value)
    assert not there.folder("Fit", KEY).exists()
    assert leftovers(there) == []


def test_a_file_that_is_gone_is_noticed(machines) -> None:
    here, there = machines
    build(here)
    upload = json.loads(here.remote.place.read(f"{PATH}/manifest.json"))["upload"]
    here.remote.place.remove(f"{PATH}/{upload}/sub/data ü.txt")
    with pytest.raises(StoreError, match=r"data ü\.txt"):
        there.find("Fit", KEY)
    assert leftovers(there) == []


@pytest.mark.parametrize("name", ["../../../evil.txt", "/tmp/evil.txt", "sub/../../evil", "..\\evil", ""])
def test_names_that_lead_elsewhere_are_refused(machines, name) -> None:
    here, there = machines
    build(here)
    manifest = json.loads(here.remote.place.read(f"{PATH}/manifest.json"))
    manifest["files"][name] = {"num_bytes": 1, "sha256": "0"}
    here.remote.place.write(f"{PATH}/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(StoreError, match="cannot be read"):
        there.find("Fit", KEY)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"format_version": 1}', b'{"format_version": "x"}'])
def test_a_manifest_that_is_none(machines, text) -> None:
    here, there = machines
    here.remote.place.write(f"{PATH}/manifest.json", text)
    with pytest.raises(StoreError, match=r"manifest.json in .* cannot be read"):
        there.find("Fit", KEY)


def test_a_newer_manifest_is_refused(machines) -> None:
    here, there = machines
    here.remote.place.write(f"{PATH}/manifest.json", b'{"format_version": 99}')
    with pytest.raises(StoreError, match="newer cengine"):
        there.find("Fit", KEY)


def test_removing(machines) -> None:
    here, there = machines
    build(here)
    there.find("Fit", KEY)
    here.remove("Fit", KEY)
    assert there.remote.has("Fit", KEY)  # only this machine's copy goes
    here.remove_shared("Fit", KEY)
    here.remove_shared("Fit", KEY)
    assert not there.remote.has("Fit", KEY)
    assert here.remote.place.children(PATH) == []
    assert here.find("Fit", KEY) is None
    assert there.find("Fit", KEY) is not None


def test_one_machine_builds_and_the_other_waits(machines, tmp_path) -> None:
    """Each with folders of its own; what they see of each other is the records and the place."""
    built, waited = [], threading.Event()
    began = threading.Event()
    failed = []

    def work(artifacts, first: bool) -> None:
        try:
            own = Records(tmp_path / "records.db")
            artifacts.records = own
            if not first:
                began.wait(60)
            with artifacts.building("Fit", KEY, waited.set) as building:
                if building is not None:
                    built.append(first)
                    began.set()
                    assert waited.wait(60)
                    (building.folder / "data.txt").write_text("first")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(a, first)) for a, first in zip(machines, (True, False), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert built == [True]
    assert [(a.find("Fit", KEY).folder / "data.txt").read_text() for a in machines] == ["first", "first"]


# Places that cannot be used


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("memory://x", "begins with 'memory'"),
        ("http://user:secret@host/x", "begins with 'http'"),
        ("s3://", "is not s3://BUCKET/PREFIX"),
        ("s3://key:secret@bucket/x", "is not s3://BUCKET/PREFIX"),
        ("some/folder", "write the whole path: /"),
        ("/no/such/folder", "there is no folder /no/such/folder"),
        ("file:///no/such/folder", "there is no folder"),
    ],
)
def test_addresses_that_are_none(address, said) -> None:
    with pytest.raises(StoreError) as caught:
        open_place(address)
    assert said in caught.value.render()
    assert "secret" not in caught.value.render()


def test_without_the_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"pip install 'cengine-ml\[s3\]'"):
        open_place("s3://bucket")


def environment(monkeypatch, words: dict[str, str]) -> None:
    for name, value in words.items():
        monkeypatch.setenv(name, value)


def message(action) -> str:
    with pytest.raises(StoreError) as caught:
        action()
    text = caught.value.render()
    assert "testing-secret" not in text
    return text


def test_no_such_bucket(s3, monkeypatch) -> None:
    environment(monkeypatch, s3.environment)
    place = open_place("s3://there-is-no-such-bucket/x")
    for action in (lambda: place.read("a"), lambda: place.write("a", b"x"), lambda: place.children("a")):
        assert "there is no bucket for s3://there-is-no-such-bucket/x" in message(action)


def test_a_store_that_refuses(monkeypatch) -> None:
    with s3_server(refuses=True) as server:
        environment(monkeypatch, server.environment)
        place = open_place("s3://bucket/x")
        for action in (lambda: place.read("a"), lambda: place.write("a", b"x"), lambda: place.remove("a")):
            assert "s3://bucket/x refuses us" in message(action)


def test_no_credentials(s3, monkeypatch, tmp_path) -> None:
    environment(monkeypatch, s3.environment)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "no credentials for s3://bucket" in message(lambda: open_place("s3://bucket").read("a"))


def test_a_server_that_is_down(s3, monkeypatch, caplog) -> None:
    environment(monkeypatch, {**s3.environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}"})
    # Only pauses count as time: a busy machine may take any time for an attempt.
    pauses: list[float] = []
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append))
    with caplog.at_level(logging.WARNING, "cengine"):
        assert "cannot be used" in message(lambda: open_place("s3://bucket").read("a"))
    assert pauses == [0.25, 0.5, 1.0, 2.0]
    assert caplog.text.count("trying again in") == 4


def test_a_connection_that_is_cut_is_survived_and_said(monkeypatch, caplog) -> None:
    with s3_server() as server:
        environment(monkeypatch, server.environment)
        place = open_place(server.new_bucket())
        place.write("a", b"x")
        server.server.stop()
        pauses = []

        def pause(seconds: float) -> None:
            """The third pause ends with a server that is whole again: one that is without its bucket would be another error."""
            pauses.append(seconds)
            if len(pauses) == 3:
                server.server.start()
                server.client().create_bucket(Bucket=place.name.removeprefix("s3://"))  # it keeps everything in memory

        monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=time.monotonic, sleep=pause))
        with caplog.at_level(logging.WARNING, "cengine"):
            place.write("b", b"y")
        assert place.read("b") == b"y"
    assert pauses == [0.25, 0.5, 1.0]
    assert caplog.text.count("trying again in") == 3


def test_a_shared_folder_decides_who_may_read(tmp_path) -> None:
    before = os.umask(0)
    try:
        for mode, folders, files in ((0o700, 0o700, 0o600), (0o2770, 0o2770, 0o660), (0o777, 0o770, 0o660)):
            shared = tmp_path / f"shared-{mode:o}"
            shared.mkdir()
            shared.chmod(mode)
            artifacts = Artifacts(tmp_path / f"own-{mode:o}", Remote(open_place(str(shared))))
            build(artifacts)
            found = list(shared.rglob("*"))
            assert len(found) > 4
            for path in found:
                assert stat.S_IMODE(path.stat().st_mode) == (folders if path.is_dir() else files), path
    finally:
        os.umask(before)
