"""Delivery: every file that takes a service to production, linted for all answers and run for real."""
