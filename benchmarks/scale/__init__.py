"""Times data in pieces: `python -m benchmarks --scale`."""
