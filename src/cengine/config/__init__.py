"""YAML -> Config -> every column explicit."""
