"""Writes a plan to the server, safely, and says truly what happened."""
