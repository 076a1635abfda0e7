"""The parts of the test lab; `tests/lab/lab` is its command line."""
