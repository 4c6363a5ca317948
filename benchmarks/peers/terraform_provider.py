"""A Terraform provider for the accounts: each is a resource, and refreshing it reads it by its id."""

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
    """What the server answers; ``None`` where it has no such account."""
    if not hasattr(SESSIONS, "one"):
        SESSIONS.one = requests.Session()
    answer = SESSIONS.one.request(method, URL + path, json=body, timeout=60)
    if answer.status_code == codes.not_found:
        return None
    answer.raise_for_status()
    account = answer.json()
    return {"id": str(account["id"]), **{name: account[name] for name in FIELDS}}


class Account(Resource):
    """One account."""

    def __init__(self, provider):
        """Takes nothing from the provider."""

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
