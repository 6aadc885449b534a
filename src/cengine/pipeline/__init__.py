"""`plan` turns a configuration and a snapshot into stages and runs nothing; `execute` reuses or runs each of them."""
