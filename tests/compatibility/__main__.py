"""``make formats``: writes the documents of this version, which every later version must read.

The manifests are those of the last version. Add the keys that are new by hand, and run it again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from reconciler.version import VERSION
from tests.compatibility.scenario import VERSIONS, WRITTEN, Scenario

if __name__ == "__main__":
    target = Path(__file__).parent / VERSION
    if not target.exists():
        shutil.copytree(VERSIONS[-1], target, ignore=shutil.ignore_patterns(*WRITTEN))
    with tempfile.TemporaryDirectory() as folder, Scenario(target, Path(folder)) as scenario:
        os.environ["XDG_STATE_HOME"] = f"{folder}/xdg"
        scenario.write_documents()
        for name in WRITTEN:
            shutil.copy(Path(folder) / name, target / name)
