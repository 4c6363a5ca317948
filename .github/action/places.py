"""Where the action reads and writes files that a pull request must not be able to choose."""

from __future__ import annotations

import os
from pathlib import Path

import workflow


def without_links(name: str) -> Path:
    """The absolute path of a file that an input names.

    Git keeps links: a pull request could commit one under this name, or a folder on the way to it, and so choose a file
    of the runner that is replaced or read.

    Raises:
        InputError: The file is a link, or a link in a checkout leads to it.
    """
    path = Path(os.path.abspath(name))  # noqa: PTH100 - resolve() would follow the links
    links, inside = [], False
    for part in (path, *path.parents):
        if part.resolve() == workflow.workspace():
            inside = True
            break
        if part.is_symlink():
            links.append(part)
    if path in links or (links and inside):
        raise workflow.InputError(
            f"`plan-file: {name}`: {links[0]} is a link, and what it leads to is not touched. Name a file outside the"
            " checkout, such as ${{ runner.temp }}/plan.json, or leave `plan-file` out"
        )
    return path


def keep_out_of_checkout(trust: str, paths: list[str]) -> None:
    """Refuses a trust file that whoever changes the YAML can change too.

    Raises:
        InputError: It is in the same checkout as one of the paths.
    """
    checkout = _checkout_of(trust)
    if checkout and checkout in {_checkout_of(path) for path in paths}:
        raise workflow.InputError(
            f"`trust: {trust}` is in the checkout, where a pull request can change it together with the YAML. Write it"
            " to ${{ runner.temp }} from a secret of a protected environment, or check out another repository for it"
        )


def _checkout_of(name: str) -> Path | None:
    """The folder of the clone that a file is in; ``None`` outside the job's workspace."""
    path = Path(name).resolve()
    if not path.is_relative_to(workflow.workspace()):
        return None
    folders = [folder for folder in (path, *path.parents) if folder.is_relative_to(workflow.workspace())]
    # The `.git` of a submodule is a file: the repository around it says which commit of it is checked out.
    return next((folder for folder in folders if (folder / ".git").is_dir()), workflow.workspace())
