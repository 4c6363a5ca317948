"""The domain model: accounts, the desired set, changes, outcomes. No network, and the standard library only."""
