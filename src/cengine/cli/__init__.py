"""Words typed at the terminal; no logic. What a command needs is imported when it runs."""
