"""The watcher's log, as people and programs read it."""

from __future__ import annotations

import io
import json
import re

from reconciler.watch.log import EventLog, LogFormat


def written(log_format: LogFormat, *, commit: str = "", message: str = "", **details: object) -> str:
    """The line of one event."""
    stream = io.StringIO()
    log = EventLog(log_format, lambda line: line.replace("hunter2", "***"), stream)
    log.commit = commit
    log.event("round_finished", message, **details)  # type: ignore[arg-type]
    return stream.getvalue()


def test_text_has_what_is_known_and_counts_as_pairs() -> None:
    line = written(LogFormat.TEXT, commit="4f2a9c1be07d6358", seconds=0.0, results={"applied": 1, "failed": 2})
    assert re.sub(r"^\S+ ", "", line) == "info    event=round_finished commit=4f2a9c1b seconds=0.0 applied=1 failed=2\n"


def test_text_has_no_empty_fields() -> None:
    line = written(LogFormat.TEXT, user="", results={}, message="hunter2 is masked")
    assert re.sub(r"^\S+ ", "", line) == "info    event=round_finished *** is masked\n"


def test_a_value_cannot_be_taken_for_other_fields_or_lines() -> None:
    assert written(LogFormat.TEXT, user="ana status=applied\n").endswith('user="ana status=applied\\u000a"\n')
    assert written(LogFormat.TEXT, user='a" b=c').endswith('user="a\\" b=c"\n')


def test_json_has_every_field_as_it_is() -> None:
    document = json.loads(written(LogFormat.JSON, commit="4f2a9c1be07d6358", results={"applied": 1}))
    assert document.pop("time").endswith("Z")
    assert document == {
        "level": "info",
        "event": "round_finished",
        "server": "",
        "commit": "4f2a9c1be07d6358",
        "run": "",
        "message": "",
        "results": {"applied": 1},
    }
