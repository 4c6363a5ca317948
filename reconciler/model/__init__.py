"""The domain model: accounts, the desired set, changes, outcomes. Pure; the standard library only."""
