"""What the two HTTP servers of this program, the sandbox and the watcher's page, have in common."""
