"""Writes the pages of the reference that follow from the code (``make reference``).

A test compares them with what this program would write.
"""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from prometheus_client.parser import text_string_to_metric_families as families

from reconciler.cli import COMMANDS, cli
from reconciler.errors import ExitCode
from reconciler.manifest.schema import manifest_schema
from reconciler.report.json import FORMAT_VERSION, schema_text
from reconciler.watch.metrics import CAUSES, RESULTS, Metrics, health_of, sync_of
from reconciler.watch.records import ChangeRecord, Origin, Overview, ServerRecord, ServerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    Shape = Mapping[str, Any]

FOLDER = Path(__file__).parent


def main() -> None:
    """Writes all pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """The text of each page, by the name of its file."""
    return {
        "fields.md": page("Fields of the YAML", "reconciler/manifest/schema.py", FIELDS, fields()),
        "commands.md": page("Commands", "reconciler/commands", COMMAND_LINE, commands()),
        "exit-codes.md": page("Exit codes", "reconciler/errors.py", EXIT_CODES, exit_codes()),
        "json.md": page("JSON documents", "the JSON Schemas in reconciler/report", DOCUMENTS, documents()),
        "metrics.md": page("Metrics", "reconciler/watch/metrics.py", METRICS, metrics()),
    }


def page(title: str, source: str, introduction: str, sections: Iterable[str]) -> str:
    """A page, with a first line for those who would edit it."""
    note = (
        f"<!-- Made from {source} by docs/reference.py. Do not edit: change the source, and run `make reference`. -->"
    )
    return "\n\n".join([note, f"# {title}", introduction.strip(), *sections]) + "\n"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """A value as it is written in YAML and in JSON."""
    return f"`{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}`"


def anchor(heading: str) -> str:
    """The anchor of a heading, on GitHub and on the site."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


FIELDS = """
These are all keys of a manifest, from its JSON Schema, which `reconciler schema manifest` prints.
[Writing the YAML](yaml.md) shows them together, and says how to use the schema in an editor.

- **An omitted field of an account is not managed**: the server keeps its value. `null` clears it.
- In patterns, `*` stands for anything, `?` for one character, and `[ab]` for one of these.
- A key that is not listed here is an error.
"""

BLOCKS = {
    "Manifest": "Top level",
    "ServerBlock": "`server`",
    "AuthBlock": "`server.auth`",
    "ClientCertBlock": "`server.client_cert`",
    "PolicyBlock": "`policy`",
    "FleetBlock": "`fleet`",
    "RolloutBlock": "`fleet.rollout`",
    "AccountBlock": "`accounts`",
    "DefaultsBlock": "Fields of an account",
    "DeliveryTestBlock": "`test`",
}
"""The headings of the manifest's blocks, in the order of the page."""

NOTES = {
    "AuthBlock": "Exactly one of `access_token`, `refresh_token`, or `username` with `password`.",
    "AccountBlock": "Each entry has these keys and the [fields of an account](#fields-of-an-account).",
    "DefaultsBlock": "In `accounts`, and in `defaults` for all accounts that do not have them.",
    "DeliveryTestBlock": "In `policy`, in `defaults` and in an account, whose keys win over those of the policy.",
}
"""What to say about a block in place of its own description, which is for editors."""


def fields() -> Iterator[str]:
    """A table of the keys of each block."""
    schema: Any = manifest_schema()
    blocks = {"Manifest": schema, **schema["$defs"]}
    if blocks.keys() != BLOCKS.keys():
        raise ValueError(f"BLOCKS and the manifest's blocks differ: {blocks.keys() ^ BLOCKS.keys()}")
    for name, heading in BLOCKS.items():
        block = blocks[name]
        inherited = blocks["DefaultsBlock"]["properties"] if name == "AccountBlock" else {}
        rows = [
            (code(key), type_of(shape), default_of(key, block), meaning_of(shape))
            for key, shape in block["properties"].items()
            if key not in inherited
        ]
        yield f"## {heading}"
        yield NOTES.get(name) or block["description"]
        yield table(("key", "type", "default", "meaning"), rows)
    yield "## Secrets"
    yield "A secret is one of these, or a literal string, which gets a warning. No output contains a secret."
    *references, _literal = blocks["AuthBlock"]["properties"]["access_token"]["anyOf"][0]["anyOf"]
    yield table(("secret", "meaning"), ((reference_of(one), marked(one["description"])) for one in references))


CODE = (
    r"`[^`]*`",
    r"--[a-z-]+",
    r"\$?\{\w+(: …)?\}",
    r"\*{3,}",
    r"\bnull\b",
    r"\b[A-Z]+(_[A-Z]+)+(=1)?",
    r"~/[\w/.]+\w",
    r"\w+=\w+,[^ ]+[^. ]",
    r"\w+://([\w:/]+)?",
)
"""What is code in a text, whether it is marked already or not."""


def default_of(key: str, block: Shape) -> str:
    """What an omitted key means."""
    if key in block.get("required", ()):
        return "required"
    shape = block["properties"][key]
    return code(shape["default"]) if "default" in shape else ""


def meaning_of(shape: Shape) -> str:
    """What a key is for, with an example unless its type or its default is one."""
    meaning, examples = marked(shape["description"]), shape.get("examples", ())
    if shape.get("format") == "email" or not examples or shape.get("default") in examples:
        return meaning
    return f"{meaning} Example: {code(examples[0])}."


def marked(text: str) -> str:
    """A text for editors, or for a terminal, with options, variables, masks and the like marked as code."""
    return re.sub("|".join(CODE), lambda found: found[0] if found[0].startswith("`") else code(found[0]), text)


def reference_of(shape: Shape) -> str:
    """A reference to a secret, as YAML."""
    ((key, target),) = shape["properties"].items()
    example = target["examples"][0]
    return code(f"{{{key}: {example if key in {'env', 'file'} else json.dumps(example)}}}")


def type_of(shape: Shape) -> str:
    """The type of a value, in words."""
    if "$ref" in shape:
        name = shape["$ref"].rpartition("/")[2]
        return f"[mapping](#{anchor(BLOCKS[name])})" if name in BLOCKS else f"[object](#{anchor(name)})"
    if any("env" in one.get("properties", {}) for one in shape.get("anyOf", ())):
        return "[secret](#secrets)"
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(word for one in shape["anyOf"] for word in type_of(one).split(" or ")))
    if "const" in shape or "enum" in shape:
        return " or ".join(code(one) for one in shape.get("enum", [shape.get("const")]))
    if isinstance(shape["type"], list):
        return " or ".join(type_of({**shape, "type": one}) for one in shape["type"])
    return TYPES.get(shape["type"], type_of_string)(shape)


def type_of_list(shape: Shape) -> str:
    """A list, with the type of its items."""
    items = re.sub("string|integer|mapping|object|percentage", r"\g<0>s", type_of(shape["items"]))
    return f"list of {items}"


def type_of_number(shape: Shape) -> str:
    """An integer, with its limits."""
    if "maximum" in shape:
        return f"integer from {shape['minimum']} to {shape['maximum']}"
    return "integer"


def type_of_string(shape: Shape) -> str:
    """A string, if need be with its form."""
    forms = {"%$": "percentage", "[smh]$": "duration", "Z$": "time"}
    form = next((form for end, form in forms.items() if shape.get("pattern", "").endswith(end)), "string")
    return "address" if shape.get("format") == "email" else form


TYPES = {
    "array": type_of_list,
    "boolean": lambda _: "`true` or `false`",
    "integer": type_of_number,
    "null": lambda _: "`null`",
    "object": lambda shape: "mapping of strings" if shape.get("additionalProperties") else "object",
}


COMMAND_LINE = """
`reconciler COMMAND --help` prints the same. Every command has `-h` and `--help`, and `reconciler --version` prints the
version. Options win over environment variables, which win over the YAML. [Exit codes](exit-codes.md) and
[formats](formats.md) have pages of their own. [Completion](completion.md) lets the Tab key write options.
"""

VARIABLES = {
    "RECONCILER_URL": "The server.",
    "RECONCILER_REFRESH_TOKEN": "The API key that the server's web interface creates.",
    "RECONCILER_TOKEN": "An access token, used as it is.",
    "RECONCILER_USERNAME": "A login; needs `RECONCILER_PASSWORD`.",
    "RECONCILER_PASSWORD": "The password of the login.",
    "RECONCILER_CA_FILE": "As `--ca-file`.",
    "RECONCILER_CLIENT_CERT": "As `--client-cert`.",
    "RECONCILER_TRUST": "As `--trust`. It must not be empty.",
    "RECONCILER_STATE_DIR": "As `--state-dir`.",
    "RECONCILER_PAGE_TOKEN": "The token that readers of the watcher's page need.",
    "RECONCILER_HOOK_SECRET": "The secret that hooks are signed with.",
    "RECONCILER_ENGINE": "As `--engine`. It may contain a password, which an option must not.",
}
"""The environment variables. They are not options of click, so that values never appear in its messages."""


def commands() -> Iterator[str]:
    """A section for each command, and the environment variables."""
    yield table(("command", "what it does"), ((f"[`{name}`](#{name})", about) for name, about in COMMANDS.items()))
    for name in COMMANDS:
        yield from command(name)
    yield "## Environment variables"
    yield "[Servers and credentials](servers.md) says which credential goes to which server."
    yield table(("variable", "meaning"), ((code(name), about) for name, about in VARIABLES.items()))


def command(name: str) -> Iterator[str]:
    """The usage, the help, the options and the examples of a command."""
    found: Any = cli.get_command(click.Context(cli), name)
    context = click.Context(found, info_name=name)
    yield f"## `{name}`"
    yield f"```text\nreconciler {name} {' '.join(found.collect_usage_pieces(context))}\n```"
    yield inspect.cleandoc(found.help)
    options = [one for one in found.get_params(context) if isinstance(one, click.Option) and "--help" not in one.opts]
    if options:
        yield table(("option", "meaning", "default"), (option_row(one, context) for one in options))
    if found.epilog:
        examples = inspect.cleandoc(found.epilog.partition("Examples:\n")[2])
        yield f"<!-- not run: the files and servers are examples -->\n\n```sh\n{examples}\n```"


def option_row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    """The names of an option, what it is for, and its default. GitHub and the site differ about ``|`` in tables."""
    names = option.get_help_record(context)[0].partition(" [")[0].replace("|", " or ")
    extra = option.get_help_extra(context)
    meaning = marked(option.help)
    if " to " in (limits := extra.get("range", "").replace("<=x<=", " to ")):
        meaning += f" From {limits}."
    if isinstance(option.type, click.Choice):
        meaning += f" One of {', '.join(map(code, option.type.choices))}."
    return code(names), meaning, code(extra["default"]) if "default" in extra else ""


EXIT_CODES = (
    "Scripts and pipelines can rely on these codes: [they keep their meaning](upgrading.md#what-stays-compatible)."
)


def exit_codes() -> Iterator[str]:
    """The table, and what it does not say."""
    yield table(("code", "meaning"), ((str(one.value), one.meaning) for one in ExitCode))
    yield (
        "For a fleet, [Fleets](fleets.md#exit-codes) says what they mean if some servers succeed and others fail.\n\n"
        "If the reader of standard output goes away, as `head` does, the code is 141, as for any program that SIGPIPE"
        " ends.\nA report of `apply` or `test` goes to standard error then. If the run did not do everything, or was"
        " interrupted, the code\nis 3 or 130, as otherwise."
    )


DOCUMENTS = f"""
`plan --format json` and `plan --save` write a plan. `apply --format json` and `test --format json` write a result.
`reconciler schema plan` and `reconciler schema result` print the JSON Schemas that this page is made from.

`format_version` is `{FORMAT_VERSION}`. [Upgrading](upgrading.md#what-stays-compatible) says what it promises. A program
that reads the documents should ignore keys that it does not know.

`validate --format json` writes `format_version`, `tool`, `valid`, the numbers of `servers` and `accounts`, `warnings`
and `errors`. `status --format json` writes `format_version`, `tool`, `watcher`, `notices`, `servers` and `errors`; its
servers are as in the [API](page.md) of the watcher.
"""


def documents() -> Iterator[str]:
    """A table of the keys of each object in the documents."""
    for document in ("plan", "result"):
        schema = json.loads(schema_text(document))
        title = schema["title"]
        yield f"## {title}"
        yield schema["description"]
        yield keys(schema, title)
        for name, shape in objects(schema):
            yield f"### {title}: {name}"
            yield from [shape["description"]] if "description" in shape else []
            yield keys(shape, title, "" if name in schema["properties"] else f"{name}.")


def objects(shape: Shape, path: str = "") -> Iterator[tuple[str, Shape]]:
    """The objects inside another, with their names: those that a key describes itself, and those it refers to."""
    for key, value in shape["properties"].items():
        inner = value.get("items", value)
        if "properties" in inner:
            yield f"{path}{key}", {**inner, "description": value["description"]}
    for name, inner in shape.get("$defs", {}).items():
        yield name, inner
        yield from objects(inner, f"{name}.")


def keys(shape: Shape, title: str, path: str = "") -> str:
    """A table of the keys of an object, which is at this path in the document."""
    rows = []
    for key, value in shape["properties"].items():
        kind = type_of(in_section(value, title, f"{path}{key}"))
        meaning = value["description"].replace("docs/errors.md", "[the errors page](errors.md)")
        rows.append((code(key), kind if key in shape["required"] else f"{kind}, optional", meaning))
    return table(("key", "type", "meaning"), rows)


def in_section(shape: Shape, title: str, path: str) -> Shape:
    """The type of the key at a path, with references to the sections of the page."""
    if "properties" in shape and path:
        return {"$ref": f"{title}: {path}"}
    found = dict(shape)
    if "$ref" in shape:
        found["$ref"] = f"{title}: {shape['$ref'].rpartition('/')[2]}"
    if isinstance(shape.get("items"), dict):
        found["items"] = in_section(shape["items"], title, path)
    if "anyOf" in shape:
        found["anyOf"] = [in_section(one, title, "") for one in shape["anyOf"]]
    return found


METRICS = """
`/metrics` of the [watcher's page](page.md) has these metrics for Prometheus. Metrics of a server disappear with the
server. Labels only have names of servers and fixed words.
"""


def metrics() -> Iterator[str]:
    """The metrics, and the words that their labels have."""
    now = datetime.now(UTC)
    server = ServerRecord(name="b001", url="", state=ServerState.SYNCED, last_run=now, last_success=now)
    overview = Overview(at=now, source="", commit="", notices={}, servers=(server,))
    yield "\n".join(map(metric_line, families(Metrics().render(overview).decode())))
    yield "## Results of runs"
    yield "The `result` of `reconciler_reconcile_total`:"
    yield table(("`result`", "the run"), words({**RESULTS, "other": "None of these; a bug."}))
    yield "## What notices are about"
    yield "The `about` of `reconciler_notices`. [Operations](operations.md#alerts) says what to do."
    yield table(("`about`", "what is wrong"), words({**CAUSES, "other": "None of these; the page says what."}))
    yield "## States, sync and health"
    yield (
        "[Operations](operations.md#states) explains the states. The words of `sync` and `health` are those of Argo CD."
    )
    yield table(("`state`", "`sync`", "`health`"), map(state_row, ServerState))


def words(meanings: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Rows with the values of a label and their meanings."""
    return ((code(word), meaning) for word, meaning in meanings.items())


def metric_line(family: Metric) -> str:
    """The name of a metric with its labels, its type, and what it is. A table would be too wide for a phone."""
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    name = f"{family.name}_total" if family.type == "counter" else family.name
    braces = f"{{{','.join(labels)}}}" if labels else ""
    return f"- {code(name + braces)} ({family.type}): {family.documentation}"


def state_row(state: ServerState) -> tuple[str, str, str]:
    """The words of a state."""
    change = ChangeRecord(address="", action="update", origin=Origin.COMMIT)
    same, differs = (ServerRecord(name="", url="", state=state, changes=changes) for changes in ((), (change,)))
    sync = code(sync_of(differs))
    if sync_of(same) != sync_of(differs):
        sync += f" if a difference is known, otherwise {code(sync_of(same))}"
    return code(state.value), sync, code(health_of(same))


if __name__ == "__main__":
    main()
