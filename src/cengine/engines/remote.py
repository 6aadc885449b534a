"""An engine where a table lives, that asks a price for what its queries read."""

from __future__ import annotations

from abc import abstractmethod

from sqlglot import exp

from cengine.engines.engine import Engine


class RemoteEngine(Engine):
    """What a warehouse can tell beside what every engine does."""

    @abstractmethod
    def scanned_by(self, query: exp.Expr) -> int:
        """The bytes that a query would scan, without running it. Raises what keeps it from running."""


__all__ = ["RemoteEngine"]
