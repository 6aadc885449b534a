"""Runs: begun, watched, limited, ended, cancelled and resumed; and the pipelines that they are runs of."""
