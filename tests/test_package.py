"""What a release contains: the wheel, the source distribution, and the lock for contributors."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reconciler.version import DOCUMENTATION, VERSION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWNER = PROJECT["urls"]["Repository"].split("/")[-2]

DATA = {
    "commands/accounts.yaml",
    "manifest/manifest.schema.json",
    "py.typed",
    "report/plan.schema.json",
    "report/result.schema.json",
    *(f"report/web/{name}.html.jinja" for name in ("card", "fleet", "head", "kind", "plan")),
    *(f"report/web/{name}" for name in ("fleet.css", "page.css", "page.js", "plan.js")),
    *(f"watch/web/{name}.html.jinja" for name in ("error", "fleet", "layout", "server", "values")),
    "watch/web/watch.css",
}
"""Every file of the package that is no module."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def source(dist: Path) -> dict[str, bytes]:
    """The files of the source distribution, without those that the build adds."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        files = [(one.name.partition("/")[2], archive.extractfile(one)) for one in archive.getmembers()]
        return {name: file.read() for name, file in files if file and name != "PKG-INFO"}


def test_the_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names} == {"reconciler", f"email_account_reconciler-{VERSION}.dist-info"}
    packaged = {name.removeprefix("reconciler/") for name in names if name.startswith("reconciler/")}
    modules = {str(path.relative_to(ROOT / "reconciler")) for path in ROOT.glob("reconciler/**/*.py")}
    assert packaged == modules | DATA


def test_the_wheel_names_the_version_the_licence_and_the_projects_home(wheel: zipfile.ZipFile) -> None:
    metadata = HeaderParser().parsestr(wheel.read(f"email_account_reconciler-{VERSION}.dist-info/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("email-account-reconciler", VERSION)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("MIT", "LICENSE")
    assert dict(url.split(", ") for url in metadata.get_all("Project-URL", [])) == PROJECT["urls"]


def test_the_source_distribution_is_the_whole_repository(source: dict[str, bytes]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a Git checkout: there is no list to compare with")
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    assert sorted(source) == sorted(name for name in listed if (ROOT / name).is_file())


def test_every_mention_of_the_projects_home_agrees_with_its_urls(source: dict[str, bytes]) -> None:
    home = re.compile(
        rb"(?:github\.com/|githubusercontent\.com/|ghcr\.io/|uses: )([\w.-]+)/reconciler\b|\b([\w-]+)\.github\.io"
    )
    owners = {(name, b"".join(found).decode()) for name, text in source.items() for found in home.findall(text)}
    assert len(owners) > 5
    others = sorted(f"{name} says {owner}" for name, owner in owners if owner != OWNER)
    assert not others, "\n".join([f"[project.urls] says {OWNER}", *others])


def test_errors_lead_to_the_documentation_of_the_project() -> None:
    assert PROJECT["urls"]["Documentation"] == DOCUMENTATION


def test_every_release_that_a_page_or_an_example_pins_is_this_version(source: dict[str, bytes]) -> None:
    pins = re.compile(rf"{OWNER}/reconciler(?:@v| 'refs/tags/v|\n +rev: v|@COMMIT # v|:)(\d+(?:\.\w+)+)")
    pinned = {
        (name, version)
        for name, text in source.items()
        if name.startswith(("docs/", "examples/", "README", "SECURITY"))
        for version in pins.findall(text.decode(errors="replace"))
    }
    assert {name for name, _ in pinned} >= {"docs/ci.md", "examples/github/plan.yml", "examples/gitlab/.gitlab-ci.yml"}
    others = sorted(f"{name} pins {version}" for name, version in pinned if version != VERSION)
    assert not others, "\n".join([f"this is {VERSION}", *others])


def test_the_newest_minor_version_gets_security_fixes() -> None:
    assert f"| {VERSION.rpartition('.')[0]} (" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_the_lock_has_a_version_that_each_dependency_allows() -> None:
    lock = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    locked = dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", lock, re.MULTILINE))
    extras = PROJECT["optional-dependencies"]
    (own,) = [one for one in map(Requirement, extras["dev"]) if one.name == PROJECT["name"]]
    wanted = [*PROJECT["dependencies"], *extras["dev"], *(one for extra in own.extras for one in extras[extra])]
    for requirement in (one for one in map(Requirement, wanted) if one.name != PROJECT["name"]):
        version = locked.get(canonicalize_name(requirement.name), "0")
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: run `make lock`"


def test_the_lock_names_no_index_and_no_folder() -> None:
    lock = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    assert re.findall(r"^(?:-.*|.*(?:://| @ ).*)$", lock, re.MULTILINE) == []
