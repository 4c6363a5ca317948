"""The floors: programs that do only the unavoidable part of the work, or send the same requests with a bare client.

``python benchmarks/floor.py NAME [FILE] [URL]``; each imports only what it needs.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

ACCOUNTS = "/api/email/accounts"


def command_line() -> None:
    """A process that imports click."""
    import click  # noqa: F401


def events(file: str) -> None:
    """A process that imports pydantic-core and reads the file's events from libyaml."""
    import pydantic_core  # noqa: F401

    _pull(file)


def events_of_folder(folder: str) -> None:
    """The same, with all files of a folder."""
    import os

    import pydantic_core  # noqa: F401

    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - pathlib would be another import
        _pull(os.path.join(folder, name))  # noqa: PTH118 - as above


def plan(file: str, url: str) -> None:
    """A process that imports httpx and pydantic-core, reads the events, GETs the list and parses its JSON."""
    import json

    import pydantic_core  # noqa: F401

    _pull(file)
    json.loads(_get(url))


def one_get(url: str) -> None:
    """A process that imports httpx and sends one GET."""
    _get(url)


def creates(file: str, url: str) -> None:
    """A bare aiohttp loop that lists the accounts, and creates those in the file, 16 at a time."""
    import asyncio

    bodies = _bodies(file)
    asyncio.run(_send(url, [[("POST", url, body)] for body in bodies]))


def updates(file: str, url: str) -> None:
    """A bare aiohttp loop that lists the accounts, and reads and replaces each one, 16 at a time."""
    import asyncio

    bodies = _bodies(file)
    pairs = [(f"{url}/{number}", body) for number, body in enumerate(bodies, 1)]
    asyncio.run(_send(url, [[("GET", one, None), ("PUT", one, body)] for one, body in pairs]))


def fleet(file: str, changes: str) -> None:
    """Bare httpx in 16 threads: lists the accounts of the servers in the file, and changes the first ones of each."""
    import threading
    from pathlib import Path

    import httpx

    urls, context = iter(Path(file).read_text().split()), httpx.create_ssl_context()

    def work() -> None:
        for url in urls:  # an iterator of a list is safe for threads
            with httpx.Client(base_url=url, verify=context, timeout=60) as client:
                _one_server(client, int(changes))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _one_server(client: httpx.Client, changes: int) -> None:
    """The same requests as ours: a token, a list; to apply, a list, a read and a write for each change, and a list."""
    key = {"grant_type": "refresh_token", "refresh_token": "a-key"}
    token = client.post("/api/v1/oauth2/token", json=key).raise_for_status().json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    accounts = client.get(ACCOUNTS).raise_for_status().json()
    if changes:
        accounts = client.get(ACCOUNTS).raise_for_status().json()
        for one in accounts[:changes]:
            current = client.get(f"{ACCOUNTS}/{one['id']}").raise_for_status().json()
            client.put(f"{ACCOUNTS}/{one['id']}", json={**current, "smtp_port": 25}).raise_for_status().json()
        client.get(ACCOUNTS).raise_for_status().json()


def _pull(file: str) -> None:
    from yaml._yaml import CParser

    with open(file, "rb") as stream:  # noqa: PTH123 - pathlib would be another import
        parser = CParser(stream.read())
    while parser.get_event() is not None:
        pass


def _get(url: str) -> bytes:
    import httpx

    with httpx.Client() as client:
        return client.get(url, timeout=60).raise_for_status().content


def _bodies(file: str) -> list[dict[str, Any]]:
    """The accounts in the file, from the JSON file beside it, so that no YAML is read."""
    import json

    with open(f"{file}.json", "rb") as stream:  # noqa: PTH123 - as above
        found: list[dict[str, Any]] = json.load(stream)
    return found


async def _send(url: str, jobs: list[list[tuple[str, str, dict[str, Any] | None]]], workers: int = 16) -> None:
    import asyncio

    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=workers)) as client:
        async with client.get(url) as response:
            await response.json()
        waiting = iter(jobs)

        async def work() -> None:
            for job in waiting:
                for method, where, body in job:
                    async with client.request(method, where, json=body) as response:
                        response.raise_for_status()
                        await response.json()

        await asyncio.gather(*(work() for _ in range(workers)))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
