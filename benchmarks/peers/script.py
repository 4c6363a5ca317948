"""A typical hand-written script: CSafeLoader, one list call, and a comparison of dictionaries.

``python script.py httpx|requests|aiohttp FILE URL``; prints how many accounts differ, and writes nothing.
"""

import asyncio
import sys

import yaml


def fetched(library, url):
    """Lists the accounts with the named library."""
    if library == "httpx":
        import httpx

        with httpx.Client() as client:
            return client.get(url, timeout=60).raise_for_status().json()
    if library == "requests":
        import requests

        with requests.Session() as session:
            response = session.get(url, timeout=60)
            response.raise_for_status()
            return response.json()
    return asyncio.run(_fetched(url))


async def _fetched(url):
    import aiohttp

    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as response:
        return await response.json()


with open(sys.argv[2]) as file:
    desired = yaml.load(file, Loader=yaml.CSafeLoader)["accounts"]
current = {account["email"]: account for account in fetched(sys.argv[1], sys.argv[3])}
changes = [one for one in desired if any(current.get(one["email"], {}).get(name) != one[name] for name in one)]
gone = current.keys() - {one["email"] for one in desired}
print(f"{len(changes)} to write, {len(gone)} to delete")
