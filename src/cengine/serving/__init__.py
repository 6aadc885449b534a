"""A server of trained models. It reads bundles and runs their ONNX files; neither Keras, JAX, DuckDB, sqlglot nor pydantic is loaded."""
