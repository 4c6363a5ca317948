"""pyinfra: the list is a fact, and each account that differs is a command."""

import json
import shlex

import yaml
from pyinfra import host
from pyinfra.api import FactBase, operation


class Accounts(FactBase):
    """What the server has."""

    def command(self, url):
        return f"curl -sSf {url}"

    def process(self, output):
        return {account["email"]: account for account in json.loads("".join(output))}


@operation()
def accounts(desired, url):
    """One curl for each account that differs."""
    current = host.get_fact(Accounts, url=url)
    for one in desired:
        found = current.get(one["email"], {})
        if any(found.get(name) != one[name] for name in one):
            yield f"curl -sSf -X POST -d {shlex.quote(json.dumps(one))} {url}"


with open(host.data.file) as file:
    accounts(name="accounts", desired=yaml.load(file, Loader=yaml.CSafeLoader)["accounts"], url=host.data.url)
