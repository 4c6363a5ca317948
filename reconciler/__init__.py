"""Declarative, GitOps-style reconciler for the email accounts of iTFLEX appliances."""
