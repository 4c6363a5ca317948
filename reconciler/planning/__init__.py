"""Compares desired and current and decides what to do, in which order, or that it must not be done. Pure."""
