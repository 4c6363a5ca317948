"""YAML to the desired set, and back."""
