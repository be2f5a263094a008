"""Benchmarks of a generated service, side by side with what it is compared to."""
