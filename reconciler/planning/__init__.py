"""Compares desired and current and decides what to do and in which order, or refuses. Pure."""
