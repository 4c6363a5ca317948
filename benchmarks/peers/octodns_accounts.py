"""An octoDNS provider for accounts: each is a TXT record with the account's name, and the other fields as its value."""

import json
import logging

import requests
from octodns.provider.base import BaseProvider
from octodns.record import Record

FIELDS = ("default", "email", "service", "hash_auth", "smtp_server", "smtp_port", "smtp_crypt", "smtp_auth_mechanism")


def value_of(account):
    """The fields of an account, except its name, as the text of a record."""
    return json.dumps({name: account[name] for name in FIELDS}, separators=(",", ":"))


class AccountsProvider(BaseProvider):
    """Reads the records from the server; writing is not measured."""

    SUPPORTS = frozenset({"TXT"})
    SUPPORTS_GEO = False

    def __init__(self, id, url, **options):
        self.log = logging.getLogger(__name__)
        self.url = url
        super().__init__(id, **options)

    def populate(self, zone, target=False, lenient=False):
        """Fills the zone with the accounts on the server."""
        for account in requests.get(self.url, timeout=60).json():
            data = {"type": "TXT", "ttl": 300, "values": [value_of(account)]}
            zone.add_record(Record.new(zone, account["name"], data, source=self, lenient=lenient), lenient=lenient)
        return True

    def _apply(self, plan):
        raise NotImplementedError
