"""Where the watcher's manifests come from: paths, or a Git repository."""
