"""Talks to the server: HTTP client, authentication, retries and the wire format."""

import sys

# httpx would import its own command line, and with it rich and Pygments, which takes half as long as httpx itself.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None means that it cannot be imported
