"""The long run: coverage-guided with atheris where it is installed. ``python -m tests.fuzz TARGET SECONDS``.

Without atheris (it comes for some Pythons only) hypothesis searches: ``FUZZ_SECONDS=300 pytest tests/fuzz -s``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

_SEEDS = {
    "yaml": [Path("examples/accounts.yaml").read_bytes(), b"version: 1\naccounts: []\n", b"a: &a [*a]\n"],
    "wire": [b'[{"id": 1, "email": "a@example.com", "name": "A", "hash_auth": true, "password": "***"}]'],
    "refusal": [b'{"errors": [{"field": "name", "type": "duplicated", "msg": "x"}]}', b"<html>", b"password=x"],
}


def main() -> None:
    """Fuzzes one target for some seconds; a bug ends it with a traceback and the input in a file."""
    import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra of one's own: `pip install atheris`

    with atheris.instrument_imports(include=["reconciler"]):
        from tests.fuzz.targets import TARGETS, within_bounds

    name, seconds = sys.argv[1], sys.argv[2]
    corpus = Path(tempfile.mkdtemp(prefix=f"reconciler-fuzz-{name}-"))
    for number, seed in enumerate(_SEEDS[name]):
        (corpus / str(number)).write_bytes(seed)
    limits = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-rss_limit_mb=1024",
        "-timeout=10",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], lambda data: within_bounds(TARGETS[name], data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
