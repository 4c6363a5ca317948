"""Plans and results for people and programs."""
