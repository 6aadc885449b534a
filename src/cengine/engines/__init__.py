"""Where SQL runs. An engine takes sqlglot expressions and hands back Arrow or Parquet."""
