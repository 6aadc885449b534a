"""One meaning for a filter on every engine: its parts are said again in pieces of which all engines think the same."""

from cengine.expressions.meanings.reader import MEANINGS, NO_MEANING_ALONE, meant

__all__ = ["MEANINGS", "NO_MEANING_ALONE", "meant"]
