"""Talks to the server: HTTP client, authentication, retries and the wire format."""
