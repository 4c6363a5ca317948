"""What the reconciler talks about: accounts, the desired set, changes, outcomes. Pure; the standard library only."""
