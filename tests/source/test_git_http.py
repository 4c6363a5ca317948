"""A Git repository over HTTP, with credentials from git's own configuration."""

from __future__ import annotations

import re
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.source.conftest import Following
    from tests.support.git_remote import GitRemote

AUTHORIZATION = "Basic YWRhOnQwa2Vu"  # ada:t0ken
CREDENTIALS = "give git credentials for this URL: a credential helper, an SSH key, or http.extraHeader"


def handler_for(remote: GitRemote) -> type[BaseHTTPRequestHandler]:
    """Serves a repository with git's own CGI program to those who have the credentials."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers["Authorization"] != AUTHORIZATION:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            environ = {
                **remote.environ,
                "GIT_PROJECT_ROOT": str(remote.bare.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            done = subprocess.run(["git", "http-backend"], env=environ, input=body, capture_output=True, check=True)
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + done.stdout)

        do_POST = do_GET  # noqa: N815 - http.server calls it

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    return Handler


@pytest.fixture
def over_http(following: Following) -> Iterator[Following]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_for(following.remote)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        following.url = f"http://127.0.0.1:{server.server_port}/remote.git"
        following.start()
        try:
            yield following
        finally:
            server.shutdown()


def test_without_credentials_the_error_says_how_to_give_them(over_http: Following) -> None:
    kind, message, hint = over_http.error().split(" | ")
    assert (kind, hint) == ("git_failed", CREDENTIALS)
    assert re.fullmatch(
        "git ls-remote failed: (could not read Username for .*|unable to get password from user)", message
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("http.extraHeader", f"Authorization: {AUTHORIZATION}"),
        ("credential.helper", "!echo username=ada; echo password=t0ken; :"),
    ],
)
def test_git_gets_credentials_from_its_configuration(over_http: Following, name: str, value: str) -> None:
    over_http.remote.configure(name, value)
    first = over_http.accept_newest()
    newest = over_http.remote.commit({"a.yaml": "two"})
    assert over_http.accept_newest() == newest != first


def test_wrong_credentials_are_not_shown(over_http: Following) -> None:
    over_http.remote.configure("http.extraHeader", "Authorization: Basic wr0ngT0ken")
    error = over_http.error()
    assert error.startswith("git_failed | ")
    assert "wr0ng" not in error
