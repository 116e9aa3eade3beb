"""The parts of the benchmark of evaluations."""
