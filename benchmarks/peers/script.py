"""What somebody writes by hand: CSafeLoader, one list, a comparison of dictionaries.

``python script.py httpx|requests|aiohttp FILE URL``; prints how many accounts differ, and writes nothing.
"""

import asyncio
import sys

import yaml


def fetched(library, url):
    """The list, by the library of that name."""
    if library == "httpx":
        import httpx

        with httpx.Client() as client:
            return client.get(url, timeout=60).raise_for_status().json()
    if library == "requests":
        import requests

        with requests.Session() as session:
            answer = session.get(url, timeout=60)
            answer.raise_for_status()
            return answer.json()
    return asyncio.run(_fetched(url))


async def _fetched(url):
    import aiohttp

    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as answer:
        return await answer.json()


with open(sys.argv[2]) as file:
    desired = yaml.load(file, Loader=yaml.CSafeLoader)["accounts"]
current = {account["email"]: account for account in fetched(sys.argv[1], sys.argv[3])}
changes = [one for one in desired if any(current.get(one["email"], {}).get(name) != one[name] for name in one)]
gone = current.keys() - {one["email"] for one in desired}
print(f"{len(changes)} to write, {len(gone)} to delete")
