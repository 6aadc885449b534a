"""What outlives a command: records (an SQL database) and artifacts (folders that appear only when complete)."""
