"""Where the manifests of a process that runs for long come from: paths, or a Git repository."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.commands.options import packed
from reconciler.commands.parameters import FILE_NAME
from reconciler.errors import Kind, NotTrustedError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.source.revision import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class GitFlags:
    """Which commits of which repository are used.

    Attributes:
        url: ``None`` if the manifests are files on this machine.
        path: The folder or file within the repository.
    """

    url: str | None
    ref: str
    path: str
    verify_signatures: bool
    allowed_signers: str | None
    allow_rewind: bool


git_options = packed(
    "git",
    lambda git, ref, path, verify_signatures, allowed_signers, allow_rewind: GitFlags(
        url=git,
        ref=ref,
        path=path,
        verify_signatures=verify_signatures,
        allowed_signers=allowed_signers,
        allow_rewind=allow_rewind,
    ),
    click.option("--git", metavar="URL", help="Take the manifests from this Git repository, in place of PATH."),
    click.option("--ref", default="main", show_default=True, metavar="REF", help="The branch or tag to follow."),
    click.option("--path", default=".", show_default=True, metavar="DIR", help="Where the manifests are in it."),
    click.option("--verify-signatures", is_flag=True, help="Use only commits that `git verify-commit` accepts."),
    click.option("--allowed-signers", type=FILE_NAME, metavar="FILE", help="The SSH keys that may sign commits."),
    click.option("--allow-rewind", is_flag=True, help="Accept commits that do not descend from the last good one."),
)
"""Which commits of which repository are used; they arrive as ``git: GitFlags``."""


_OF_GIT: Final = tuple(one.name for one in fields(GitFlags) if one.name != "url")


def check_source_usage(paths: Sequence[str], git: GitFlags) -> None:
    """Makes sure that the command line names one source, and options that this source has.

    Raises:
        click.UsageError: It names none, or two, or an option that needs a repository.
    """
    if git.url is None and not paths:
        raise click.UsageError("Missing argument '[PATH]...'. Name the manifests, or a repository with --git.")
    if git.url is not None and paths:
        raise click.UsageError("--git and PATH exclude each other. Name the folder in the repository with --path.")
    given = click.get_current_context().get_parameter_source
    unused = [name for name in _OF_GIT if given(name) is click.core.ParameterSource.COMMANDLINE]
    if git.url is None and unused:
        raise click.UsageError(f"--{unused[0].replace('_', '-')} needs --git: it is about a repository.")


def manifest_source(
    paths: Sequence[str], git: GitFlags, *, folder: Path, trust: str | None, last_good: str = ""
) -> Source:
    """The source that the command line names.

    Args:
        paths: Files and folders.
        git: The repository, if there is one.
        folder: Where the repository is kept.
        trust: The trust file.
        last_good: The last good commit of an earlier process; empty if there was none.

    Raises:
        NotTrustedError: The trust file is part of what the repository declares.
        SourceError: An option cannot be used.
    """
    if git.url is None:
        from reconciler.source.paths import PathsSource

        return PathsSource(paths)
    from reconciler.source.git import GitOptions, GitSource
    from reconciler.source.work_trees import leads_through

    if trust is not None and leads_through(trust, folder):
        message = f"the trust file {trust} is in the work tree that it is to protect against"
        hint = "keep it outside what a pull request can change"
        raise NotTrustedError(Problem(kind=Kind.NOT_TRUSTED, message=message, hint=hint))
    options = GitOptions(
        allow_rewind=git.allow_rewind,
        verify_signatures=git.verify_signatures,
        allowed_signers=Path(git.allowed_signers) if git.allowed_signers else None,
    )
    return GitSource(git.url, git.ref, git.path, folder=folder, last_good=last_good, options=options)
