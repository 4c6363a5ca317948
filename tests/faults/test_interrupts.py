"""Signals, closed pipes, full disks and lost terminals: the report and the exit code stay true."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from reconciler.applying.worker_pool import Abort, InterruptGate
from reconciler.commands.invocation import Invocation
from reconciler.commands.process import handle_interrupts
from tests.faults.command import APPLY, begun, begun_with_python, finished, finished_with_python
from tests.support.fault_control import FaultServerControl, fault
from tests.support.run_result import help_for
from tests.support.scenarios import PLAIN, Case, writes
from tests.support.scripted_server import Request, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from tests.support.fork_server import Process

MANY = 60
"""The number of accounts whose report does not fit into the smallest pipe."""
WAIT = "import sys\nsys.stderr.write('here\\n')\nsys.stderr.flush()\nsys.stdin.read()\n"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FIRST_WRITE = 3
DONE = "Done: 8 applied"


def declare(folder: Path, count: int) -> None:
    accounts = "".join(
        f"  - {{email: a{n}@example.com, name: A{n}, service: other, smtp_server: s}}\n" for n in range(count)
    )
    (folder / "accounts.yaml").write_text(f"version: 1\naccounts:\n{accounts}")


def stuck_in_its_report(server: FaultServerControl, folder: Path, place: str) -> tuple[Process, int]:
    """A command that is blocked while it writes its report into a full pipe, and the end to read it from."""
    declare(folder, MANY)
    url = server.reset([])
    arguments = ["apply", "accounts.yaml", "--auto-approve", "-q", "-f", "json"]
    if place == "pipe":
        reading, writing = os.pipe()
    else:
        os.mkfifo(folder / "report")
        reading, writing = os.open(folder / "report", os.O_RDONLY | os.O_NONBLOCK), os.open(os.devnull, os.O_WRONLY)
        os.set_blocking(reading, True)
        arguments += ["-o", "report"]
    fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 1)
    process = begun(folder, url, *arguments, stdout=writing)
    os.close(writing)
    assert select.select([reading], [], [], 30)[0]
    return process, reading


def sleeps(process: Process, more_than: int = 0) -> int:
    """How often the command has gone to sleep, once it sleeps and that is more than ``more_than`` times."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        status = dict(line.split(":\t", 1) for line in lines)
        count = int(status["voluntary_ctxt_switches"])
        if status["State"].startswith("S") and count > more_than:
            return count
        time.sleep(0.01)
    raise TimeoutError


def waiting_in(folder: Path, name: str, source: str, *arguments: str) -> subprocess.Popen[str]:
    """A command that waits in the module ``name`` with this source, which is first on the import path."""
    (folder / "modules").mkdir()
    (folder / "modules" / name).write_text(source)
    environ = {"PYTHONPATH": str(folder / "modules")}
    process = begun_with_python(folder, "", *arguments, environ=environ, stdin=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline() == "here\n"
    return process


def statuses(report: str) -> Counter[str]:
    return Counter(one["status"] for one in json.loads(report)["results"])


def prepared(server: FaultServerControl, folder: Path, *faults: dict[str, object]) -> Case:
    return Case(server, PLAIN, folder, faults)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_planning_ends_the_command_before_any_write(
    server: FaultServerControl, tmp_path: Path, number: signal.Signals
) -> None:
    process = begun(tmp_path, prepared(server, tmp_path, fault("held_before", 1)).url, *APPLY)
    server.held()
    process.send_signal(number)
    assert finished(process) == (130, "", "\nerror: interrupted; nothing was written\n")
    assert writes(server.state()[1]) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_does_not_wait_for_what_is_in_flight(
    server: FaultServerControl, tmp_path: Path, number: signal.Signals
) -> None:
    case = prepared(server, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, case.url, *APPLY, "-f", "json")
    server.held()
    process.send_signal(number)
    process.wait_for_error_text("Interrupted: ")
    process.send_signal(number)
    code, out, _ = finished(process)
    assert code == 130
    assert statuses(out) == {"unknown": 1, "not_attempted": 7}


def test_a_signal_after_the_last_write_leaves_the_report_whole(tmp_path: Path) -> None:
    written, released = threading.Event(), threading.Event()
    created: list[object] = []

    def respond(request: Request) -> Step:
        if request.method == "GET":
            return json_reply(created)
        if request.path.endswith("/token"):
            return json_reply({"access_token": "token"})
        written.set()
        released.wait(10)
        assert isinstance(request.json, dict)
        created.append({**request.json, "id": 1})
        return json_reply(created[0], 201)

    declare(tmp_path, 1)
    with ScriptedServer(respond=respond) as server:
        process = begun(tmp_path, server.url, *APPLY, "-f", "json")
        assert written.wait(10)
        process.send_signal(signal.SIGINT)
        process.wait_for_error_text("Interrupted: ")
        released.set()
        code, out, _ = finished(process)
    assert (code, statuses(out)) == (130, {"applied": 1})


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", ["pipe", "file"])
def test_a_signal_while_the_report_is_written_leaves_it_whole(
    server: FaultServerControl, tmp_path: Path, place: str, number: signal.Signals
) -> None:
    process, reading = stuck_in_its_report(server, tmp_path, place)
    process.send_signal(number)
    with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123 - a plain descriptor
        report = pipe.read()
    assert (statuses(report), finished(process)) == ({"applied": MANY}, (0, "", ""))


@pytest.mark.parametrize("place", ["pipe", "file"])
def test_a_second_signal_during_the_report_ends_the_command(
    server: FaultServerControl, tmp_path: Path, place: str
) -> None:
    process, reading = stuck_in_its_report(server, tmp_path, place)
    before = sleeps(process)
    process.send_signal(signal.SIGINT)
    # A signal that arrives just before Python writes on is handled when the write ends, which it does not here.
    sleeps(process, more_than=before)
    process.send_signal(signal.SIGTERM)  # a different one: two of the same kind may arrive as one
    message = "\nerror: interrupted; the run had ended, but its report may not be complete\n"
    assert finished(process) == (130, "", message)
    os.close(reading)


class Shaken(threading.Event):
    """An event that receives another signal while it is being set."""

    times_set = 0

    def set(self) -> None:
        self.times_set += 1
        if self.times_set == 1:
            signal.raise_signal(signal.SIGTERM)
        super().set()


def test_a_second_signal_waits_for_the_first_and_counts() -> None:
    stop = Shaken()
    with handle_interrupts(InterruptGate(stop), Invocation(quiet=True)) as interruption:
        interruption.run_ended()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (stop.times_set, stop.is_set()) == (1, True)


def test_a_second_signal_ends_the_next_wait_and_nothing_else() -> None:
    queue: SimpleQueue[str] = SimpleQueue()
    queue.put("a result")
    gate = InterruptGate()
    with handle_interrupts(gate, Invocation(quiet=True)):
        signal.raise_signal(signal.SIGINT)
        assert gate.wait(queue) == "a result"
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Abort):
            gate.wait(queue)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    ("module", "code", "message"),
    [("click", None, ""), ("yaml", 130, "\nerror: interrupted; nothing was written\n")],
    ids=["of the command line", "of a command"],
)
def test_a_signal_during_the_imports_shows_no_traceback(
    tmp_path: Path, number: signal.Signals, module: str, code: int | None, message: str
) -> None:
    declare(tmp_path, 1)
    process = waiting_in(tmp_path, f"{module}.py", WAIT, "validate", "accounts.yaml")
    process.send_signal(number)
    assert finished_with_python(process) == (-number if code is None else code, "", message)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_process_ends_shows_no_traceback(tmp_path: Path, number: signal.Signals) -> None:
    declare(tmp_path, 1)
    at_exit = "import atexit\n@atexit.register\ndef wait():\n    " + WAIT.replace("\n", "\n    ")
    process = waiting_in(tmp_path, "sitecustomize.py", at_exit, "validate", "accounts.yaml")
    process.send_signal(number)
    assert finished_with_python(process) == (-number, "Valid: 1 account.\n", "")


def test_a_pipe_closed_while_planning_ends_quietly(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path)
    for command in (("plan", "accounts.yaml"), APPLY):
        server.arm()
        reading, writing = os.pipe()
        os.close(reading)
        process = begun(tmp_path, case.url, *command, stdout=writing)
        os.close(writing)
        assert finished(process) == (141, "", "")
        assert writes(server.state()[1]) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_pipe_closed_during_the_run_does_not_stop_it(server: FaultServerControl, tmp_path: Path, form: str) -> None:
    case = prepared(server, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, case.url, *APPLY, "-f", form)
    server.held()
    process.close("stdout")
    server.arm()
    code, _, err = finished(process)
    assert code == 141
    assert DONE in err
    assert case.unfinished() == []


def test_a_closed_pipe_does_not_hide_that_the_run_was_interrupted(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, case.url, *APPLY, "-f", "json")
    server.held()
    process.close("stdout")
    process.send_signal(signal.SIGINT)
    process.wait_for_error_text("Interrupted: ")
    server.arm()
    code, _, err = finished(process)
    assert (code, "7 not attempted" in err) == (130, True)


def test_closed_streams_do_not_stop_a_run(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, case.url, *APPLY)
    server.held()
    process.close("stdout")
    process.close("stderr")
    server.arm()
    assert process.wait() == 141
    assert case.unfinished() == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_report_on_a_full_disk_is_an_error_on_stderr(server: FaultServerControl, tmp_path: Path, form: str) -> None:
    case = prepared(server, tmp_path)
    code, out, err = finished(begun(tmp_path, case.url, *APPLY, "-f", form, "-o", "/dev/full"))
    assert (code, out) == (1, "")
    assert DONE in err
    assert err.count("error: cannot write /dev/full: No space left on device\n") == 1
    assert case.unfinished() == []


def test_a_plan_that_cannot_be_written_is_an_error(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path)
    full = "No space left on device\n"
    with open("/dev/full", "w") as disk:  # noqa: PTH123 - a plain descriptor
        process = begun(tmp_path, case.url, "plan", "accounts.yaml", stdout=disk.fileno())
        assert finished(process) == (1, "", f"error: cannot write to standard output: {full}{help_for('output')}")
    for option in (("-o", "/dev/full"), ("-f", "json", "-o", "/dev/full"), ("-q", "--save", "/dev/full")):
        code, _, err = finished(begun(tmp_path, case.url, "plan", "accounts.yaml", *option))
        assert (code, err.partition("  hint: ")[0]) == (1, f"error: cannot write /dev/full: {full}")


def test_a_closed_standard_output_is_an_error(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path)
    process = begun_with_python(
        tmp_path, case.url, "plan", "accounts.yaml", stdout=None, preexec_fn=lambda: os.close(1)
    )
    closed = f"error: cannot write to standard output: Bad file descriptor\n{help_for('output')}"
    assert finished_with_python(process) == (1, "", closed)


def test_a_lost_terminal_ends_the_run_like_a_signal(server: FaultServerControl, tmp_path: Path) -> None:
    case = prepared(server, tmp_path, fault("held_before", FIRST_WRITE))
    ours, theirs = pty.openpty()
    process = begun(tmp_path, case.url, *APPLY, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    server.held()
    os.close(ours)  # which sends SIGHUP
    server.arm()
    assert process.wait() == 130
    assert len(set(writes(server.state()[1]))) <= 1


def test_a_signal_at_the_question_writes_nothing(server: FaultServerControl, tmp_path: Path) -> None:
    for number in SIGNALS:
        case = prepared(server, tmp_path)
        ours, theirs = pty.openpty()
        process = begun(tmp_path, case.url, "apply", "accounts.yaml", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"Only 'yes'" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(number)
        assert process.wait() == 130
        os.close(ours)
        assert writes(server.state()[1]) == []
