"""Talks to the server: HTTP client, authentication and the wire format; and to the page of a watcher."""
