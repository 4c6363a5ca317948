"""Keeps the action's files out of the reach of a pull request."""

from __future__ import annotations

import os
from pathlib import Path

import workflow


def path_without_links(name: str) -> Path:
    """The absolute path of a file that an input names.

    Git stores links: a pull request could commit one under this name, or in place of one of its folders, and so choose
    which file of the runner is read or replaced.

    Raises:
        InputError: The file is a link, or the path to it leads through a link in a checkout.
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
            f"`plan-file: {name}`: {links[0]} is a link, which is neither read nor replaced. Name a file outside the"
            " checkout, such as ${{ runner.temp }}/plan.json, or leave `plan-file` out"
        )
    return path


def check_trust_file(trust: str, paths: list[str]) -> None:
    """Refuses a trust file that can be changed together with the YAML.

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
    """The folder of the clone that contains a file; ``None`` outside the job's workspace."""
    path = Path(name).resolve()
    if not path.is_relative_to(workflow.workspace()):
        return None
    folders = [folder for folder in (path, *path.parents) if folder.is_relative_to(workflow.workspace())]
    # The `.git` of a submodule is a file: the repository around it decides which commit of it is checked out.
    return next((folder for folder in folders if (folder / ".git").is_dir()), workflow.workspace())
