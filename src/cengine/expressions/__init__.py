"""SQL expressions that mean the same on every engine, built with sqlglot; no text is ever pasted into SQL."""
