"""Private CAs without modern extensions, and servers that ask for a certificate."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest
import trustme

from reconciler.client.network import tls_context
from reconciler.errors import ApiError
from reconciler.model.server import ClientCertificate
from tests.support.scripted_server import ScriptedServer, json_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Open

HTTPS = httpx.URL("https://fw.example.com")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def bare(tmp_path: Path) -> ssl.SSLContext:
    """A server whose CA and certificate have no key identifiers, as many private ones."""
    (tmp_path / "plain.cnf").write_text(
        "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n"
        "[leaf]\nsubjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n"
    )
    new = ("-newkey", "rsa:2048", "-nodes", "-config", "plain.cnf")
    openssl(
        tmp_path, "req", "-x509", *new, "-extensions", "ca", "-subj", "/CN=Old CA", "-keyout", "k", "-out", "ca.pem"
    )
    openssl(tmp_path, "req", *new, "-subj", "/CN=127.0.0.1", "-keyout", "leaf.key", "-out", "leaf.csr")
    signing = ("-CA", "ca.pem", "-CAkey", "k", "-CAcreateserial", "-extfile", "plain.cnf", "-extensions", "leaf")
    openssl(tmp_path, "x509", "-req", "-in", "leaf.csr", *signing, "-out", "leaf.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")
    return context


def test_a_ca_without_key_identifiers_is_accepted_on_every_python(
    writer: Open, bare: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ssl.create_default_context

    def strict(*arguments: object, **more: object) -> ssl.SSLContext:
        """The default context of Python 3.13."""
        context = made(*arguments, **more)  # type: ignore[arg-type]
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    with ScriptedServer(json_reply([]), tls=bare) as server:
        assert writer(server.url, ca_file=str(tmp_path / "ca.pem")).list_accounts() == ()
    for ca_file in (str(tmp_path / "ca.pem"), None):
        context = tls_context(HTTPS, ca_file)
        assert not context.verify_flags & ssl.VERIFY_X509_STRICT
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.usefixtures("bare")
def test_servers_share_a_context_until_a_file_changes(tmp_path: Path) -> None:
    names = ("ca.pem", "leaf.pem", "leaf.key")
    ca_file, cert, key = (str(tmp_path / name) for name in names)
    context = tls_context(HTTPS, ca_file)
    assert tls_context(httpx.URL("https://other.example.com"), ca_file) is context
    certificate = ClientCertificate(cert, key)
    with_certificate = tls_context(HTTPS, ca_file, certificate)
    assert tls_context(HTTPS, ca_file, certificate) is with_certificate
    assert len({context, with_certificate, tls_context(HTTPS, None)}) == 3
    trustme.CA().cert_pem.write_to_path(ca_file)
    assert tls_context(HTTPS, ca_file) is not context


@pytest.fixture
def asking(tmp_path: Path) -> ssl.SSLContext:
    """A server that requires a client certificate signed by its own CA."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client = authority.issue_cert("reconciler@example.com")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    client.private_key_pem.write_to_path(tmp_path / "fw.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "fw.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.mark.parametrize("names", [("both.pem",), ("fw.pem", "fw.key")])
def test_a_server_that_asks_for_a_certificate_gets_one(
    writer: Open, asking: ssl.SSLContext, tmp_path: Path, names: tuple[str, ...]
) -> None:
    certificate = ClientCertificate(*(str(tmp_path / name) for name in names))
    with ScriptedServer(json_reply([]), tls=asking) as server:
        accounts = writer(server.url, ca_file=str(tmp_path / "ca.pem"), client_certificate=certificate)
        assert accounts.list_accounts() == ()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "another"])
def test_a_missing_or_wrong_client_certificate_is_reported(
    writer: Open, asking: ssl.SSLContext, tmp_path: Path, version: ssl.TLSVersion, shown: str
) -> None:
    asking.maximum_version = version
    other = trustme.CA().issue_cert("other@example.com")
    other.private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    certificate = ClientCertificate(str(tmp_path / "other.pem")) if shown == "another" else None
    with ScriptedServer(json_reply([]), tls=asking) as server:
        with pytest.raises(ApiError) as caught:
            writer(server.url, ca_file=str(tmp_path / "ca.pem"), client_certificate=certificate).list_accounts()
        assert (server.requests, server.connections) == ([], 1)
    (problem,) = caught.value.problems
    assert (problem.kind, "ask for a client certificate" in problem.message.replace("asks", "ask")) == ("tls", True)
    assert "--client-cert" in problem.hint


@pytest.mark.usefixtures("asking")
def test_a_client_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    other = trustme.CA().issue_cert("other@example.com")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    openssl(tmp_path, "pkey", "-in", "fw.key", "-aes128", "-passout", "pass:hunter2", "-out", "encrypted.key")
    (tmp_path / "text").write_text("no certificate")
    cases = {
        ("fw.pem", "encrypted.key"): "its key is encrypted",
        ("fw.pem", "other.key"): "the key does not match",
        ("fw.pem", None): "it lacks a certificate or a key in PEM format",
        ("text", None): "it lacks a certificate or a key in PEM format",
        ("nowhere", None): "No such file or directory",
        ("fw.pem", "nowhere"): "No such file or directory",
    }
    for (cert, key), reason in cases.items():
        certificate = ClientCertificate(str(tmp_path / cert), str(tmp_path / key) if key else None)
        with pytest.raises(ApiError) as caught:
            tls_context(HTTPS, None, certificate)
        (problem,) = caught.value.problems
        assert problem.kind == "client_cert"
        assert problem.message.endswith(f" cannot be used: {reason}"), (cert, key)
        assert "hunter2" not in str(problem)
