"""Made-up tables for trying `cengine` out, for its tests and for its benchmarks."""
