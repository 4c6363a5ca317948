"""Declarative, GitOps-style reconciler for the email accounts of iTFLEX appliances."""

__version__ = "0.1.0"
