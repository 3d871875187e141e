"""Measurements that are run from a checkout: `python -m benchmarks.<name>`."""
