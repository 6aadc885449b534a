"""Plain data about a run -> a page, a notebook; rendering only."""
