"""Workspaces: what is in one is not seen from another; ids are the store's."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from cengine.errors import StoreError
from cengine.store.records import now
from cengine.store.workspaces import create_workspace, workspace_facts


def add(records, table: str, name: str) -> int:
    if table == "datasources":
        return records.datasources.insert(name=name, type="csv", options={}, created_at=now())
    return records.pipelines.insert(name=name, config_name="c", config_text="", datasource_id=1, created_at=now())


@pytest.fixture
def team(records):
    """The records seen from a second workspace; the first has a datasource."""
    add(records, "datasources", "trips")
    create_workspace(records, "team")
    return records.seen_from("team")


@pytest.mark.parametrize("table", ["datasources", "pipelines"])
def test_names_are_of_their_workspace(records, team, table) -> None:
    add(records, table, "same")
    other = add(team, table, "same")
    assert getattr(team, table).find("same").id == other
    assert [row.name for row in getattr(team, table).all()] == ["same"]
    assert getattr(records, table).find("same").id != other
    with pytest.raises(StoreError, match="named 'same' already"):
        add(team, table, "same")
    assert len(getattr(records.everywhere(), table).all()) == len(getattr(records, table).all()) + 1


def test_what_another_workspace_has_is_not_found_but_named(records, team) -> None:
    with pytest.raises(StoreError) as caught:
        team.datasources.find("trips")
    assert "there are no datasources yet" in str(caught.value)
    assert "the workspace 'default' has one: --workspace default" in str(caught.value)
    with pytest.raises(StoreError, match="--workspace default"):
        team.datasources.find("1")
    with pytest.raises(StoreError) as caught:
        team.datasources.find("nothing")
    assert "workspace" not in str(caught.value)


def test_ids_are_the_stores(records, team) -> None:
    other = add(team, "datasources", "bikes")
    assert other == 2
    assert records.datasources.get(other).name == "bikes"


def test_seen_from_one_that_is_not_there(records) -> None:
    create_workspace(records, "team")
    with pytest.raises(StoreError) as caught:
        records.seen_from("taem")
    assert "known workspaces: 1 (default), 2 (team)" in str(caught.value)
    assert "did you mean 'team'?" in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "7", " team", "a\nb", "default"])
def test_names_that_cannot_be(records, name) -> None:
    with pytest.raises(StoreError):
        create_workspace(records, name)
    assert [row.name for row in records.workspaces.all()] == ["default"]


def test_what_one_holds(records, team) -> None:
    add(team, "datasources", "bikes")
    facts = workspace_facts(records, records.workspaces.find("team"))
    assert (facts["datasources"], facts["pipelines"], facts["runs"]) == (1, 0, 0)


def test_a_row_needs_its_workspace(records) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        records.datasources.insert(name="a", type="csv", options={}, created_at=now(), workspace_id=99)
