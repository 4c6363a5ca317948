"""Signals, closed pipes, full disks and lost terminals: the report and the exit code stay true."""

from __future__ import annotations

import json
import os
import pty
import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.faults.case import unlike, writes
from tests.faults.command import APPLY, begun, finished
from tests.faults.control import Remote, fault
from tests.faults.scenario import PLAIN

if TYPE_CHECKING:
    from pathlib import Path

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FIRST_WRITE = 4
DONE = "Done: 8 applied"


def prepared(remote: Remote, folder: Path, *faults: dict[str, object]) -> str:
    PLAIN.write(folder)
    return remote.reset(PLAIN.seed, faults)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_planning_ends_the_command_before_any_write(
    remote: Remote, tmp_path: Path, number: signal.Signals
) -> None:
    process = begun(tmp_path, prepared(remote, tmp_path, fault("held_before", 1)), *APPLY)
    remote.held()
    process.send_signal(number)
    assert finished(process) == (130, "", "\nerror: interrupted; nothing was written\n")
    assert writes(remote.state()[1]) == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_does_not_wait_for_what_is_in_flight(
    remote: Remote, tmp_path: Path, number: signal.Signals
) -> None:
    url = prepared(remote, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, url, *APPLY, "-f", "json")
    remote.held()
    assert process.stderr is not None
    process.send_signal(number)
    while not process.stderr.readline().startswith("Interrupted: "):
        pass
    process.send_signal(number)
    code, out, _ = finished(process)
    assert code == 130
    assert Counter(one["status"] for one in json.loads(out)["results"]) == {"unknown": 1, "not_attempted": 7}


def test_a_pipe_closed_while_planning_ends_quietly(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path)
    for command in (("plan", "accounts.yaml"), APPLY):
        remote.arm()
        reading, writing = os.pipe()
        os.close(reading)
        process = begun(tmp_path, url, *command, stdout=writing)
        os.close(writing)
        assert finished(process) == (141, "", "")
        assert writes(remote.state()[1]) == []


def test_a_pipe_closed_while_writing_does_not_stop_the_run_nor_lose_its_report(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, url, *APPLY)
    remote.held()
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    remote.arm()
    code, _, err = finished(process)
    assert code == 0
    assert DONE in err
    assert unlike(PLAIN, remote.state()[0]) == []


def test_everybody_gone_while_writing_leaves_the_exit_code(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path, fault("held_before", FIRST_WRITE))
    process = begun(tmp_path, url, *APPLY)
    remote.held()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    remote.arm()
    assert process.wait(60) == 0
    assert unlike(PLAIN, remote.state()[0]) == []


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_report_that_does_not_fit_on_the_disk_is_told_on_standard_error(
    remote: Remote, tmp_path: Path, form: str
) -> None:
    url = prepared(remote, tmp_path)
    code, out, err = finished(begun(tmp_path, url, *APPLY, "-f", form, "-o", "/dev/full"))
    assert (code, out) == (1, "")
    assert DONE in err
    assert err.count("error: cannot write /dev/full: No space left on device\n") == 1
    assert unlike(PLAIN, remote.state()[0]) == []


def test_a_plan_that_cannot_be_written_is_a_clear_error(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path)
    full = "No space left on device\n"
    with open("/dev/full", "w") as disk:  # noqa: PTH123 - a plain descriptor
        process = begun(tmp_path, url, "plan", "accounts.yaml", stdout=disk)
        assert finished(process) == (1, "", f"error: cannot write to standard output: {full}")
    for option in (("-o", "/dev/full"), ("-f", "json", "-o", "/dev/full"), ("-q", "--save", "/dev/full")):
        code, _, err = finished(begun(tmp_path, url, "plan", "accounts.yaml", *option))
        assert (code, err.partition("  hint: ")[0]) == (1, f"error: cannot write /dev/full: {full}")


def test_a_closed_standard_output_is_a_clear_error(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path)
    process = begun(tmp_path, url, "plan", "accounts.yaml", stdout=None, preexec_fn=lambda: os.close(1))
    assert finished(process) == (1, "", "error: cannot write to standard output: Bad file descriptor\n")


def test_a_lost_terminal_ends_the_run_like_a_signal(remote: Remote, tmp_path: Path) -> None:
    url = prepared(remote, tmp_path, fault("held_before", FIRST_WRITE))
    ours, theirs = pty.openpty()
    process = begun(tmp_path, url, *APPLY, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    remote.held()
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    remote.arm()
    assert process.wait(60) == 130
    assert len(set(writes(remote.state()[1]))) <= 1


def test_a_signal_at_the_question_writes_nothing(remote: Remote, tmp_path: Path) -> None:
    for number in SIGNALS:
        url = prepared(remote, tmp_path)
        ours, theirs = pty.openpty()
        process = begun(tmp_path, url, "apply", "accounts.yaml", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"Only 'yes'" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(number)
        assert process.wait(60) == 130
        os.close(ours)
        assert writes(remote.state()[1]) == []
