"""Tests of what development needs."""
