"""One file, loaded and validated by itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.bases import Base, Bases, Layer, is_plain, names_base
from reconciler.manifest.events import YamlError
from reconciler.manifest.files import own_data_kind, own_document_kind
from reconciler.manifest.issues import Issue, IssueLog, NodeRef
from reconciler.manifest.loader import REFERENCE_KEYS, Loaded
from reconciler.model.desired import NO_POSITIONS
from reconciler.model.secret import SecretReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from reconciler.manifest.blocks import Shape
    from reconciler.manifest.extends import Effective
    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Path
    from reconciler.manifest.processes import Received
    from reconciler.model.desired import DesiredAccount

Keys: TypeAlias = frozenset[str | None]
"""Keys of a block; ``None`` means the block itself."""

_NONE: Final[Keys] = frozenset()
_NO_KEYS: Final[Mapping[str | int, Keys]] = {}
_KEYS_LOOKED_AT: Final = 100

_KEYS_OF_OTHERS: Final = frozenset({"apiVersion", "services", "jobs", "stages"})
"""Keys of Kubernetes, Docker Compose, GitHub and GitLab. Some of them, or of the keys beside them, resemble those of a
manifest: a hint about those would mislead."""

_KEYS_OF_PLAYS: Final = frozenset({"hosts", "tasks", "import_playbook"})
"""Keys of a play of Ansible. A playbook is a list of plays."""

_MOST_EXPLAINED: Final = 2000
"""The number of wrong accounts in a file after which further errors are only counted: wording them takes a while."""

MARKED_BLOCKS: Final[tuple[tuple[str, ...], ...]] = (
    ("server",),
    ("server", "auth"),
    ("policy",),
    ("policy", "test"),
    ("defaults",),
    ("defaults", "test"),
)
"""The blocks outside ``accounts`` with keys that the loader marks."""


_ABOUT_ADDRESSES: Final = frozenset([Kind.NOTHING_TO_OVERRIDE, Kind.AMBIGUOUS_ADDRESS])
"""Problems that depend on the values of the variables in addresses."""


@dataclass(slots=True)
class ParsedFile:
    """The valid content of a file, and what is wrong with the rest.

    Attributes:
        header: The blocks that the file has, apart from ``accounts``, each with the keys that it has.
        entries: The usable entries of ``accounts``.
        positions: Where the values of the ``MARKED`` keys are, by the path of their block.
        bad_defaults: The wrong and the misspelled fields of ``defaults``; ``None`` if the block itself is wrong.
        irregular: Whether the file has irregularities that ``locate`` reports.
        declares_accounts: Whether there is an ``accounts`` block, even if it is empty.
        variables: What the file may substitute, by name.
        inheritance: The document with bases and variables, if the file has any; the bases alone if another process has
            parsed the file.
    """

    source: Source
    header: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    issues: IssueLog = field(default_factory=IssueLog)
    positions: dict[Path, Mapping[str, Position]] = field(default_factory=dict)
    bad_defaults: Keys = _NONE
    irregular: bool = False
    declares_accounts: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)
    inheritance: Effective | Bases | None = None

    def block(self, *path: str) -> dict[str, Any]:
        """A block of the header; empty if the file does not have it."""
        found = self.header
        for key in path:
            found = found.get(key) or {}
        return found

    def positions_of(self, *path: str | int) -> Mapping[str, Position]:
        """Where the values of the ``MARKED`` keys of a block of the header are."""
        return self.positions.get(path, NO_POSITIONS)

    @property
    def declares_server(self) -> bool:
        """Whether the file is about a server: not if it is a base, or has nothing but a ``fleet`` block."""
        is_about_fleet = "fleet" in self.header and not self.declares_accounts and len(self.header) <= 2  # noqa: PLR2004
        return self.header.get("base") is not True and not is_about_fleet

    def node(self, *path: str | int, key: bool = False) -> NodeRef:
        """A node of the document, where it is written: in this file, or in one of its bases."""
        return NodeRef(self.source, path, key=key) if self.document is None else self.document.node(path, key=key)

    @property
    def document(self) -> Effective | None:
        """The document with bases and variables, if the file has any."""
        if isinstance(self.inheritance, Bases):
            loaded: Any = self.inheritance.load(self.source)
            layer = Layer(self.source, loaded, loaded.value)
            self.inheritance = _effective(layer, _base(layer, self.inheritance))
        return self.inheritance

    @property
    def sources(self) -> list[Source]:
        """The file, and the bases that it extends."""
        if isinstance(self.inheritance, Bases):
            text = self.header.get("extends")
            base = self.inheritance.extended_by(self.source, text) if text else None
            return [self.source, *(layer.source for layer in base.layers)] if base else [self.source]
        return [layer.source for layer in self.inheritance.layers] if self.inheritance else [self.source]


@dataclass(slots=True)
class Entry:
    """One entry of ``accounts``.

    Attributes:
        index: Its number in the list, from 0.
        position: Where it starts.
        positions: Where the values of the ``MARKED`` keys are, including those of ``test``.
        given: The valid fields of the entry, by name.
        bad: The wrong and the misspelled fields of the entry, and of the defaults. No rule looks at them.
        desired: The account with the defaults merged in; set once all files are read.
    """

    file: ParsedFile
    index: int
    position: Position
    positions: Mapping[str, Position]
    given: dict[str, Any]
    bad: Keys = _NONE
    desired: DesiredAccount = field(init=False)

    def node(self, *keys: str) -> NodeRef:
        """A field of the entry, or of the defaults if they gave it; without keys, the entry itself."""
        if keys and keys[0] not in self.given and keys[0] in self.file.block("defaults"):
            return self.file.node("defaults", *keys)
        return self.file.node("accounts", self.index, *keys)


def parse_file(source: Source, bases: Bases | None = None) -> ParsedFile | Problem | None:
    """Loads and validates a file.

    Args:
        source: The file.
        bases: The bases of the run. Problems of the bases themselves are collected there.

    Returns:
        A problem if the file is unusable; ``None`` if it is one of our own documents, found in a folder.
    """
    document = load_document(source, bases or Bases([source.name]))
    if document is None or isinstance(document, ParsedFile | Problem):
        return document
    parsed = _validated(source, document)
    if isinstance(parsed, ParsedFile) and not isinstance(document, Loaded):
        parsed.issues.extend(document.issues)
    return parsed


def load_document(source: Source, bases: Bases) -> Loaded | Effective | ParsedFile | Problem | None:
    """Loads a file, with its bases and its variables, if it has any.

    Returns:
        As ``parse_file`` if there is nothing to validate.
    """
    if kind := own_data_kind(source.data):
        return _not_a_manifest(source, kind)
    try:
        loaded = bases.load(source)
    except YamlError as error:
        return error.problem(source.name)
    kind = own_document_kind(loaded.value)
    if kind:
        return _not_a_manifest(source, kind)
    if is_plain(source) or not isinstance(loaded.value, dict):
        return loaded
    layer = Layer(source, loaded, loaded.value)
    found = _base(layer, bases)
    is_base = loaded.value.get("base") is True
    if is_base or (names_base(loaded.value) and not isinstance(found, Base)):
        # A base is checked with each file that extends it, and a file together with its base.
        if is_base:
            bases.add_layer(layer)
        issues = IssueLog([found] if isinstance(found, Issue) else ())
        return ParsedFile(source, {"base": True}, issues=issues, irregular=loaded.irregular)
    return _effective(layer, found)


def _effective(layer: Layer, base: Base | Issue | None) -> Effective:
    from reconciler.manifest.extends import Effective

    return Effective(layer, base if isinstance(base, Base) else None)


def _base(layer: Layer, bases: Bases) -> Base | Issue | None:
    return bases.of(layer) if "extends" in layer.value else None


def unextended_issues(bases: Bases) -> IssueLog:
    """What is wrong with the bases that no file extends, whatever such a file adds. Call it once all files are read."""
    log = IssueLog()
    for layer in bases.unextended():
        base = bases.of(layer) if names_base(layer.value) else None
        if names_base(layer.value) and not isinstance(base, Base):
            continue  # reported as the file was read
        document = _effective(layer, base)
        parsed = _validated(layer.source, document)
        if isinstance(parsed, ParsedFile):
            log.add_all(parsed.issues)
        given = {Kind.UNDEFINED_VARIABLE, Kind.AUTH_INHERITED}  # what a file may give that extends this
        if any(issue.kind == Kind.UNDEFINED_VARIABLE for issue in document.issues):
            given |= _ABOUT_ADDRESSES
        log.extend(issue for issue in document.issues if issue.kind not in given)
    return log


def _not_a_manifest(source: Source, what: str) -> Problem | None:
    if source.given is not None:
        return None
    message, hint = f"this is {what} of reconciler, and declares no accounts", "name the YAML with the accounts"
    return Problem(kind=Kind.NOT_A_MANIFEST, message=message, hint=hint, position=Position(source.name))


def validate(raw: object, shape: Shape) -> tuple[dict[str, Any] | None, list[ErrorDetails]]:
    """Validates a document; only the root of ``shape`` matters.

    Returns:
        The document with the keys that it has, unless there are errors; and the errors. They contain the input.
    """
    from pydantic_core import ValidationError

    try:
        return shape[()].validator.validate_python(raw), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _validated(source: Source, loaded: Loaded | Effective) -> ParsedFile | Problem:
    raw: Any = loaded.value
    document, errors = check_document(raw)
    if not errors:
        return assembled(source, document, loaded)
    if _is_foreign(raw):
        return _foreign(source)
    from reconciler.manifest.messages import misspelled, without_consequences
    from reconciler.manifest.schema import SHAPE

    wrong = _wrong_keys(error["loc"] for error in errors)
    document, _ = validate(_usable(raw, wrong), SHAPE)
    meant = list(misspelled(errors))
    unclear = _wrong_keys(chain((error["loc"] for error in errors), meant))
    parsed = assembled(source, document, loaded, wrong, unclear)
    _add_issues(parsed, raw, without_consequences(errors, meant), wrong)
    return parsed


def check_document(raw: Any) -> tuple[dict[str, Any] | None, list[ErrorDetails]]:  # noqa: ANN401 - it may be anything
    """Validates a manifest; returns as ``validate``."""
    from reconciler.manifest.schema import SHAPE, needs_accounts

    document, errors = validate(raw, SHAPE)
    if isinstance(raw, dict) and "accounts" not in raw and needs_accounts(raw):
        errors.append({"type": "missing", "loc": ("accounts",), "msg": "", "input": raw})
    return document, errors


def assembled(
    source: Source,
    document: dict[str, Any] | None,
    loaded: Loaded | Effective | Received,
    wrong: Mapping[str | int, Keys] = _NO_KEYS,
    unclear: Mapping[str | int, Keys] = _NO_KEYS,
) -> ParsedFile:
    """The file with a valid document.

    Args:
        source: The file.
        document: What is valid of it; ``None`` if nothing is.
        loaded: What was loaded.
        wrong: The wrong keys, by their block.
        unclear: The wrong and the misspelled keys, likewise.
    """
    raw: Any = loaded.value
    given: Any = raw if wrong and isinstance(raw, dict) else document
    accounts = raw["accounts"] if document and document.get("accounts") else []
    variables: Mapping[str, str] = {}
    inheritance: Effective | Bases | None = None
    if not isinstance(loaded, Loaded):
        from reconciler.manifest.extends import Effective

        variables = loaded.variables
        inheritance = loaded if isinstance(loaded, Effective) else loaded.bases
    parsed = ParsedFile(
        source,
        document or {"accounts": []},
        bad_defaults=unclear.get("defaults", _NONE),
        irregular=loaded.irregular,
        declares_accounts=document is None or "accounts" in given,
        variables=variables,
        inheritance=inheritance,
    )
    _add_entries(parsed, accounts, loaded, wrong, unclear)
    for path in MARKED_BLOCKS:
        if block := parsed.block(*path):
            parsed.positions[path] = positions = loaded.block_positions(path)
            _complete(parsed, block, positions, path)
    return parsed


def _is_foreign(raw: object) -> bool:
    """Whether a document with errors is that of another program, rather than a manifest with mistakes."""
    from reconciler.manifest.messages import is_known_key
    from reconciler.manifest.schema import SHAPE

    match raw:
        case [dict() as first, *_]:
            return not _KEYS_OF_PLAYS.isdisjoint(first) and "email" not in first
        case dict() if not _KEYS_OF_OTHERS.isdisjoint(raw):
            return raw.keys().isdisjoint({*SHAPE[()].keys} - {"version"})
        case dict():
            return bool(raw) and not any(map(is_known_key, islice(raw, _KEYS_LOOKED_AT)))
    return False


def _foreign(source: Source) -> Problem:
    """The problem of a file that is not a manifest. A committed link may lead to it, so its keys are not shown."""
    message = "this is no file of accounts: its keys are not those that such a file has"
    hint = "name the YAML with the accounts; it begins with version: 1"
    return Problem(kind=Kind.NOT_A_MANIFEST, message=message, hint=hint, position=Position(source.name, 1, 1))


def _wrong_keys(paths: Iterable[Path]) -> Mapping[str | int, Keys]:
    """The wrong keys of each block, by its name or by its index in ``accounts``, from the paths of the errors."""
    found: defaultdict[str | int, set[str | None]] = defaultdict(set)
    for path in paths:
        block, *keys = path or ("",)
        if block == "accounts" and keys:
            block, *keys = keys
        found[block].add(str(keys[0]) if keys else None)
    return {block: frozenset(keys) for block, keys in found.items()}


def _usable(raw: object, wrong: Mapping[str | int, Keys]) -> dict[str, Any]:
    """The document without its wrong parts. An account without a valid address is left out."""
    blocks: dict[str, Any] = raw if isinstance(raw, dict) else {}
    kept = {key: _without(block, wrong[key]) if key in wrong else block for key, block in blocks.items()}
    header = {key: block for key, block in kept.items() if None not in wrong.get(key, _NONE)}
    accounts: Any = header.get("accounts", [])
    usable = [
        _without(account, wrong[index]) if index in wrong else account
        for index, account in enumerate(accounts)
        if not _is_unusable(wrong.get(index, _NONE))
    ]
    return {**header, "version": 1, "accounts": usable}


def _without(block: object, keys: Keys) -> object:
    return {key: value for key, value in block.items() if key not in keys} if isinstance(block, dict) else block


def _is_unusable(wrong: Keys) -> bool:
    return not wrong.isdisjoint((None, "email"))


def _add_entries(
    parsed: ParsedFile,
    accounts: Sequence[object],
    loaded: Loaded | Effective | Received,
    wrong: Mapping[str | int, Keys],
    unclear: Mapping[str | int, Keys],
) -> None:
    given: list[dict[str, Any]] = parsed.header.pop("accounts", [])
    starts = loaded.starts(len(accounts))
    usable = [index for index in range(len(accounts)) if not (index in wrong and _is_unusable(wrong[index]))]
    for index, account in zip(usable, given, strict=False):
        positions = loaded.entry_positions(index)
        _complete(parsed, account, positions, ("accounts", index))
        bad = unclear[index] | parsed.bad_defaults if index in unclear else parsed.bad_defaults
        parsed.entries.append(Entry(parsed, index, starts[index], positions, account, bad))


def _complete(parsed: ParsedFile, block: dict[str, Any], positions: Mapping[str, Position], path: Path) -> None:
    """Gives a block's references their positions, and ``has_auth`` the value of its other spelling."""
    for key in REFERENCE_KEYS:
        if isinstance(reference := block.get(key), SecretReference) and (position := positions.get(key)):
            block[key] = SecretReference(reference.kind, reference.target, position)
    if "hash_auth" in block and block.setdefault("has_auth", block["hash_auth"]) is not block["hash_auth"]:
        issue = Issue(
            kind=Kind.CONFLICT,
            message="has_auth and hash_auth are two spellings of one field, and have different values",
            hint="keep has_auth alone",
            node=parsed.node(*path, "hash_auth", key=True),
            other=parsed.node(*path, "has_auth", key=True),
        )
        parsed.issues.extend([issue])


def _add_issues(
    parsed: ParsedFile,
    raw: Any,  # noqa: ANN401 - it may be anything
    errors: Sequence[ErrorDetails],
    wrong: Mapping[str | int, Keys],
) -> None:
    """Adds an issue for each error, and counts those in further accounts once many accounts are wrong."""
    if not errors:
        return
    from reconciler.manifest.messages import issue_from, kind_of

    addresses: dict[int | None, str] = {entry.index: entry.given["email"] for entry in parsed.entries if entry.bad}
    explained = set(islice((block for block in wrong if isinstance(block, int)), _MOST_EXPLAINED))
    port = parsed.block("defaults").get("smtp_port")
    for error in errors:
        block, key = (*error["loc"], "", "")[:2]
        index = key if block == "accounts" and isinstance(key, int) else None
        if index is None or index in explained:
            beside = raw["accounts"][index] if index is not None else block == "defaults" and raw["defaults"]
            own_port = beside.get("smtp_port", port) if isinstance(beside, dict) else None
            issue = issue_from(error, parsed.source, address=addresses.get(index), port=own_port)
            node = parsed.node(*issue.node.path, key=issue.node.key)
            if parsed.document is not None and parsed.document.lacks_variable(node):
                continue
            parsed.issues.extend([replace(issue, node=node)])
        else:
            parsed.issues.uncounted[kind_of(error)] += 1
