"""Tables come in: registered as snapshots, found again, read where they are."""
