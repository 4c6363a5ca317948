"""Carries out a plan, and reports what happened."""
