"""Many files are read by several processes. What they declare, and what is wrong with them, does not depend on that."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reconciler.manifest.reader import read_fleet

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two processors",
)

_READ = """
import os, resource, sys
from reconciler.errors import ManifestError
from reconciler.manifest.digest import manifest_digest
from reconciler.manifest.reader import read_fleet

if sys.argv[2] == "alone":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
try:
    fleet = read_fleet([sys.argv[1]])
    print(fleet.rollout, fleet.min_servers, *fleet.warnings, sep="\\n")
    for desired in fleet.servers:
        print(desired.named_server.name, manifest_digest(desired), desired.server, desired.policy, *desired.warnings)
        print(sorted(desired.settings.items(), key=str))
        for one in desired.accounts:
            print(one.account, one.position, sorted(one.positions.items()), one.renamed_from, one.test)
except ManifestError as error:
    print(*error.problems, sep="\\n")
print("other processes" if resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime else "alone", file=sys.stderr)
"""

_COMMON = """\
version: 1
base: true
vars: {domain: example.com}
defaults: {service: other, smtp_server: smtp.example.com, smtp_port: 587, password: {env: MAIL}}
accounts:
  - {email: 'certs@${domain}', name: 'Certificates of ${name}'}
  - {email: 'noc@${domain}', name: NOC}
"""
_FLEET = "version: 1\nfleet: {min_servers: 10, rollout: {canary: region=west}}\n"


def _write(folder: Path, count: int = 400) -> None:
    """Writes a fleet with two levels of bases, and one of every kind of file."""
    (folder / "common.yaml").write_text(_COMMON)
    for region in ("north", "south"):
        text = f"version: 1\nbase: true\nextends: common.yaml\nserver: {{labels: {{region: {region}}}}}\n"
        (folder / f"{region}.yaml").write_text(text)
    (folder / "fleet.yaml").write_text(_FLEET)
    for number in range(count):
        name = f"b{number:05}"
        (folder / f"{name}.yaml").write_text(_manifest(number, name))
        if number % 50 == 0:
            text = f"version: 1\nserver: {{name: {name}}}\npolicy: {{own: ['*@sales.example.com']}}\naccounts: []\n"
            (folder / f"{name}-sales.yaml").write_text(text)


def _manifest(number: int, name: str) -> str:
    lines = [
        "version: 1",
        f"extends: {'south' if number % 3 else 'north'}.yaml",
        f"server: {{name: {name}, url: 'https://{name}.example.com', auth: {{refresh_token: {{env: KEY}}}}}}",
        f"vars: {{domain: {name}.example.com}}",
        "accounts:",
        f"  - email: own@{name}.example.com",
        "    name: The branch's own # and nobody else's",
        "    test: {when: after, to_email: a@example.com}",
        "  # " + "padding " * 200,
    ]
    if number % 5 == 0:
        lines.append("  - {email: 'noc@${domain}', override: true, password: {file: noc.txt}}")
    if number % 7 == 0:
        lines.append("  - {email: 'certs@${domain}', remove: true}")
    if number % 11 == 0:
        lines.append("  - {email: literal@example.com, name: Literal, password: written-down}")
    return "\n".join([*lines, ""])


def _read(folder: Path, how: str, limit: str = "") -> str:
    command = ["sh", "-c", f'{limit} exec "$@"', "-", sys.executable, "-c", _READ, str(folder), how]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == f"{how}\n"
    return run.stdout


def test_several_processes_read_what_one_process_reads(tmp_path: Path) -> None:
    _write(tmp_path)

    found = _read(tmp_path, "other processes")

    assert found == _read(tmp_path, "alone")
    assert found.count("b00399") > 1
    assert "written-down" not in found


def test_a_set_is_read_although_no_further_process_can_start(tmp_path: Path) -> None:
    _write(tmp_path)

    found = _read(tmp_path, "alone", limit="ulimit -n 6;")

    assert found.count("b00399") > 1


def test_a_process_that_may_start_no_other_reads_alone(tmp_path: Path) -> None:
    _write(tmp_path)

    process = multiprocessing.get_context("spawn").Process(target=_check_set, args=(tmp_path,), daemon=True)
    process.start()
    process.join(60)

    assert process.exitcode == 0


def _check_set(folder: Path) -> None:
    assert len(read_fleet([str(folder)]).servers) == 400


def test_several_processes_find_the_mistakes_that_one_process_finds(tmp_path: Path) -> None:
    _write(tmp_path)
    for number, (old, new) in enumerate(
        [
            ("own@", "nobody"),
            ("north.yaml", "nowhere.yaml"),
            ("south.yaml", "elsewhere.yaml"),
            ("${domain}", "${domian}"),
            ("accounts:", "acounts:"),
            ("  - email", "\t- email"),
            ("name: b0", "name: c0"),
            ("b00", "b01"),
            ("version: 1", "version: 2"),
            ("env: KEY", "env: $KEY"),
        ],
        start=100,
    ):
        path = tmp_path / f"b{5 * number % 400:05}.yaml"
        path.write_text(path.read_text().replace(old, new))

    found = _read(tmp_path, "other processes")

    assert found == _read(tmp_path, "alone")
    assert len(found.splitlines()) > 7


def test_every_file_is_merged_with_the_base_as_it_was_read_first(tmp_path: Path) -> None:
    """Although the base is replaced while the files are parsed, and the first file extends none."""
    folder, bases = tmp_path / "branches", tmp_path / "bases"
    folder.mkdir()
    bases.mkdir()
    _write(folder, 1500)
    (folder / "a.yaml").write_text("version: 1\nserver: {name: a, url: 'https://a.example.com'}\naccounts: []\n")
    for path in folder.glob("b*.yaml"):
        path.write_text(path.read_text().replace("extends: ", "extends: ../bases/"))
    for name in ("common.yaml", "north.yaml", "south.yaml"):
        (folder / name).rename(bases / name)
    run, _ = _start(folder)

    for name in ("north.yaml", "south.yaml"):
        (bases / name).write_text("this is no base\n")

    output, errors = run.communicate(timeout=60)
    assert run.returncode == 0, errors
    assert "1,501 servers" in output


def _start(folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Starts a validation in a process group of its own, and waits for the processes that it starts."""
    command = [str(Path(sys.executable).with_name("reconciler")), "validate", str(folder)]
    pipe, cwd = subprocess.PIPE, folder.parent
    run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, start_new_session=True)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    while len(found := children.read_text().split()) < 2 and run.poll() is None:
        time.sleep(0.001)
    return run, list(map(int, found))


def test_the_files_of_a_process_that_was_killed_are_read_all_the_same(tmp_path: Path) -> None:
    _write(tmp_path, 1500)
    run, others = _start(tmp_path)

    os.kill(others[0], signal.SIGKILL)

    output, errors = run.communicate(timeout=60)
    assert (run.returncode, errors.count("error")) == (0, 0)
    assert "1,500 servers" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_every_process_and_shows_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    _write(tmp_path, 1500)
    run, others = _start(tmp_path)

    os.killpg(run.pid, number)

    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in output + errors
    assert not any(map(_runs, others))


def test_no_process_outlives_the_first_one(tmp_path: Path) -> None:
    _write(tmp_path, 1500)
    run, others = _start(tmp_path)

    run.kill()

    run.communicate(timeout=60)
    end = time.monotonic() + 60
    while any(map(_runs, others)) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any(map(_runs, others))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
