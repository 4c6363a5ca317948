"""Two faults in one run, at random, on servers of every dialect."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fault_control import KINDS, FaultServerControl, fault
from tests.support.scenarios import PLAIN, TANGLED, Case

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.tally import Note

SEED = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
PAIRS = int(os.environ.get("FAULT_PAIRS") or 400)
BOUNDED = 24
REQUESTS = 26
"""About the number of requests of a run; a fault after the last one has no effect."""


def dialect(choice: random.Random) -> dict[str, Any]:
    """Options of a server that the scenarios can be applied to."""
    single = choice.random() < 0.5
    return {
        "auth_field": choice.choice(["hash_auth", "has_auth", "both"]),
        "unique_names": choice.random() < 0.5,
        "unique_emails": choice.random() < 0.5,
        "single_default": single,
        "keep_default": single and choice.random() < 0.5,
        "created_status": choice.choice([200, 201]),
        "deleted_status": choice.choice([200, 204]),
    }


def play(server: FaultServerControl, folder: Path, seed: str) -> Counter[str]:
    choice = random.Random(seed)  # noqa: S311 - not for secrets
    scenario = choice.choice([PLAIN, TANGLED])
    kinds = [one for one in KINDS if one != "down"]
    faults = [fault(choice.choice(kinds), choice.randrange(REQUESTS), choice.choice([1, 1, 2, 4])) for _ in range(2)]
    print(f"FAULT_SEED={SEED}: {seed}: {faults}")  # noqa: T201 - pytest shows it if the case fails
    parallelism = choice.choice([1, 2, 8])
    return Case(server, scenario, folder, faults, dialect(choice)).check_run(parallelism=parallelism)


@pytest.mark.fault_sample
@pytest.mark.parametrize("part", range(4))
def test_two_faults_are_reported_truly_and_repaired(
    server: FaultServerControl, tmp_path: Path, note: Note, part: int
) -> None:
    cases = range(part, BOUNDED, 4)
    outcomes = sum((play(server, tmp_path, f"{SEED}/{number}") for number in cases), Counter[str]())
    note("pair", len(cases), outcomes)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(8))
def test_many_pairs_of_faults_are_reported_truly_and_repaired(
    server: FaultServerControl, tmp_path: Path, note: Note, part: int
) -> None:
    cases = range(BOUNDED + part, BOUNDED + PAIRS, 8)
    outcomes = sum((play(server, tmp_path, f"{SEED}/{number}") for number in cases), Counter[str]())
    note("pair", len(cases), outcomes)
