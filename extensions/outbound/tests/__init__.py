"""Outbound calls: the other service fails in every way, and this one bears it."""
