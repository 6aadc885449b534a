"""One meaning for a filter on every engine: its parts are said again in pieces of which all engines think the same."""

from cengine.expressions.meanings.reader import MEANINGS, NO_MEANING_ALONE, meant

# Raised when a filter keeps other rows on some engine than before, though it is still written alike.
MEANING_VERSION = 1

__all__ = ["MEANINGS", "MEANING_VERSION", "NO_MEANING_ALONE", "meant"]
