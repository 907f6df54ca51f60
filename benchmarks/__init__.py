"""Times the tape against the graph-per-call baseline and other libraries: run ``python -m benchmarks``."""
