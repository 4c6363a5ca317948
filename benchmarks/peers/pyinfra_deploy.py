"""pyinfra: the list is a fact, and each differing account is a command."""

import json
import shlex

import yaml
from pyinfra import host
from pyinfra.api import FactBase, operation


class Accounts(FactBase):
    """The accounts on the server."""

    def command(self, url):
        return f"curl -sSf {url}"

    def process(self, output):
        return {account["email"]: account for account in json.loads("".join(output))}


@operation()
def accounts(desired, url):
    """One curl command for each account that differs, is missing, or is not declared."""
    current = host.get_fact(Accounts, url=url)
    for one in desired:
        found = current.pop(one["email"], {})
        if any(found.get(name) != one[name] for name in one):
            how = f"-X PUT {url}/{found['id']}" if found else f"-X POST {url}"
            yield f"curl -sSf {how} -d {shlex.quote(json.dumps(one))}"
    for account in current.values():
        yield f"curl -sSf -X DELETE {url}/{account['id']}"


with open(host.data.file) as file:
    accounts(name="accounts", desired=yaml.load(file, Loader=yaml.CSafeLoader)["accounts"], url=host.data.url)
