"""The words under `trainer:` and `labels:`. Each is checked without importing Keras; `build` imports it."""
