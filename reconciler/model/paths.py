"""Paths in messages."""

from __future__ import annotations

import os
import re
from typing import Final

_SHORTEST_KEY: Final = 32
"""Characters; the names of files are seldom as long."""

_CONTENT: Final = re.compile(r"[\n\r{]|: ")


def shown_path(name: str) -> str:
    """A path that the user gave, for a message; without what was given in place of a path.

    A key, or the content of a file, gets there if an option or a variable takes the name of a file.
    """
    longest = max(map(len, name.split("/")))
    if os.path.lexists(name) or not (longest >= _SHORTEST_KEY or _CONTENT.search(name)):
        return name
    return f"(a text of {len(name)} characters that is not shown here)"
