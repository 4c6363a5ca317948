"""Where the manifests of a watcher or a worker come from: paths, or a Git repository."""
