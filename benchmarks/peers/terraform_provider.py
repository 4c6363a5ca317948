"""A Terraform provider for accounts: each is a resource, and is refreshed by reading it by its id."""

import os
import threading

import requests
from requests import codes
from tf.iface import Provider, Resource
from tf.runner import run_provider
from tf.schema import Attribute, Schema
from tf.types import Bool, Number, String

URL = os.environ["ACCOUNTS_URL"]
FIELDS = {
    "default": Bool,
    "name": String,
    "email": String,
    "service": String,
    "hash_auth": Bool,
    "password": String,
    "smtp_server": String,
    "smtp_port": Number,
    "smtp_crypt": String,
    "smtp_auth_mechanism": String,
}
SESSIONS = threading.local()


def call(method, path="", body=None):
    """The server's response; ``None`` if it has no such account."""
    if not hasattr(SESSIONS, "one"):
        SESSIONS.one = requests.Session()
    response = SESSIONS.one.request(method, URL + path, json=body, timeout=60)
    if response.status_code == codes.not_found:
        return None
    response.raise_for_status()
    account = response.json()
    return {"id": str(account["id"]), **{name: account[name] for name in FIELDS}}


class Account(Resource):
    """One account."""

    def __init__(self, provider):
        """Needs nothing from the provider."""

    @classmethod
    def get_name(cls):
        return "account"

    @classmethod
    def get_schema(cls):
        fields = [Attribute(name, kind(), required=True) for name, kind in FIELDS.items()]
        return Schema(attributes=[Attribute("id", String(), computed=True), *fields])

    def create(self, context, planned):
        return call("POST", body={name: planned[name] for name in FIELDS})

    def read(self, context, current):
        return call("GET", f"/{current['id']}")

    def update(self, context, current, planned):
        return call("PUT", f"/{current['id']}", {name: planned[name] for name in FIELDS})

    def delete(self, context, current):
        call("DELETE", f"/{current['id']}")

    def upgrade(self, context, version, old):
        return old


class Accounts(Provider):
    """The provider."""

    def get_model_prefix(self):
        return "mail_"

    def full_name(self):
        return "local.test/peers/mail"

    def get_provider_schema(self, diagnostics):
        return Schema(attributes=[])

    def validate_config(self, diagnostics, config):
        """Has no configuration."""

    def configure_provider(self, diagnostics, config):
        """Has no configuration."""

    def get_data_sources(self):
        return []

    def get_resources(self):
        return [Account]


run_provider(Accounts())
