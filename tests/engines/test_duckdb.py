"""The engine on this machine: what happens around its queries."""

from __future__ import annotations

import threading

from cengine.engines.duckdb import DuckDB


def test_a_connection_that_is_closed_under_a_query_ends_its_progress_quietly(tmp_path, monkeypatch) -> None:
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    engine = DuckDB(tmp_path)
    with engine._watched(lambda share: None):
        engine.connection.close()
        (thread,) = [t for t in threading.enumerate() if t.name == "query-progress"]
        thread.join(timeout=30)
    assert not thread.is_alive()
    assert raised == []
