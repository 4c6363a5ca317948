"""Runs on many servers: which ones, in which order, and side by side."""
