"""Measurements that the README quotes: `python -m benchmarks` prints them as one table."""
