"""``import reconciler``: its public names, and the programs in ``docs/library.md``."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reconciler
from reconciler.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
PROGRAM, CONTEXT, FLEET, CANARIES, FIXTURE = re.findall(
    r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
)

SERVER = """\
version: 1
server: {{name: {name}, labels: {{ring: {ring}}}, url: "{url}", auth: {{refresh_token: {{env: {key}}}}}}}
accounts:
  - {{email: alerts@example.com, name: Alerts, service: gmail}}
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


def run(folder: Path, *arguments: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_creates_plans_and_applies(sandbox: Sandbox, tmp_path: Path) -> None:
    environ = {"RECONCILER_URL": sandbox.url, "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token, "HOME": str(tmp_path)}
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run(tmp_path, "program.py", environ=environ) == (
        "create alerts@example.com email name default service has_auth smtp_server smtp_port smtp_crypt\n"
        "alerts@example.com create applied\n"
    )


def test_the_context_can_be_made(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", CONTEXT, environ={}) == ""


def test_the_programs_for_a_fleet_plan_and_apply(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "OFFICE_KEY": Sandbox.refresh_token}
    with Sandbox() as office, Sandbox() as shop:
        folder = tmp_path / "fleet"
        folder.mkdir()
        (folder / "office.yaml").write_text(
            SERVER.format(name="office", key="OFFICE_KEY", ring="canary", url=office.url)
        )
        (folder / "shop.yaml").write_text(SERVER.format(name="shop", key="SHOP_KEY", ring="last", url=shop.url))
        assert run(tmp_path, "-c", FLEET, environ=environ) == (
            "office 1\n"
            "shop 0 {env: SHOP_KEY}: the variable is not set\n"
            "office applied\n"
            "shop failed {env: SHOP_KEY}: the variable is not set\n"
        )
        assert run(tmp_path, "-c", CANARIES, environ=environ) == "office 0\n"
        assert [len(server.accounts()) for server in (office, shop)] == [1, 0]


def test_one_url_for_a_whole_fleet_is_an_error(tmp_path: Path) -> None:
    for name in ("office", "shop"):
        (tmp_path / f"{name}.yaml").write_text(
            SERVER.format(name=name, key="KEY", ring="last", url=f"https://{name}.example.com")
        )
    context = reconciler.RunContext(environ={"RECONCILER_URL": "https://fw.example.com"})
    with pytest.raises(reconciler.ReconcilerError, match="RECONCILER_URL names one server, and the files declare 2"):
        reconciler.load_fleet(str(tmp_path), context=context)


def test_the_fixture_works_in_a_test_of_another_project(tmp_path: Path) -> None:
    (tmp_path / "test_accounts.py").write_text(FIXTURE)
    environ = {"HOME": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    out = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", environ=environ)
    assert "1 passed" in out


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    found = {name: getattr(reconciler, name) for name in reconciler.__all__}
    assert [name for name, value in found.items() if not inspect.getdoc(value)] == []
    assert sorted(dir(reconciler)) == sorted(reconciler.__all__)
    assert list(found) == sorted(found)


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'reconciler' has no attribute 'wiring'"):
        reconciler.wiring  # noqa: B018


def test_importing_the_library_imports_no_other_module_of_it() -> None:
    script = "import sys; import reconciler; print([one for one in sys.modules if one.startswith('reconciler')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['reconciler']\n"


def test_what_is_written_needs_a_plan_without_errors(sandbox: Sandbox, tmp_path: Path) -> None:
    manifest = tmp_path / "accounts.yaml"
    manifest.write_text("version: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n")
    desired = reconciler.load(str(manifest))
    with reconciler.connect(desired, url=sandbox.url, token=sandbox.token) as server:
        reconciler.apply(reconciler.plan(desired, server), server)
        manifest.write_text("version: 1\naccounts: []\n")
        nothing = reconciler.load(str(manifest))
        refused = reconciler.plan(nothing, server)
        assert refused.refusals
        with pytest.raises(reconciler.GuardError):
            reconciler.apply(refused, server)
        assert len(server.reader.list_accounts()) == 1


def test_the_view_of_a_plan_can_only_read(sandbox: Sandbox) -> None:
    with reconciler.connect(url=sandbox.url, token=sandbox.token) as server:
        assert server.reader.list_accounts() == ()
        for name in ("create_account", "update_account", "delete_account", "run_delivery_test"):
            assert not hasattr(server.reader, name)
            assert hasattr(server.writer, name)


def test_delivery_tests_and_exports_are_part_of_the_library(sandbox: Sandbox, tmp_path: Path) -> None:
    manifest = tmp_path / "accounts.yaml"
    manifest.write_text("version: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n")
    desired = reconciler.load(str(manifest))
    with reconciler.connect(desired, url=sandbox.url, token=sandbox.token) as server:
        reconciler.apply(reconciler.plan(desired, server), server)
        report = reconciler.test(reconciler.plan_tests(desired, server, to_email="ops@example.com"), server)
        assert [(one.address, one.status) for one in report.outcomes] == [("a@example.com", "passed")]
        assert len(sandbox.mails()) == 1
        assert "a@example.com" in reconciler.export(server)
