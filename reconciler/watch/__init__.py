"""Continuous reconciliation: the loop, what it remembers, and what it shows."""
