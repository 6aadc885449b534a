"""The run: `stages` in order, `plan` (runs nothing), `execute`; and `register`, how tables come in."""
