"""Reads from the package's source which kinds of problem it can raise, and with which hints."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import reconciler
from reconciler import errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE = Path(reconciler.__file__).parent


_NO_PROBLEM = frozenset({"_show", "Reference", "SecretReference"})
"""Calls whose ``kind`` is one of something else."""


@dataclass(frozen=True)
class Module:
    """A source file.

    Attributes:
        signatures: Of what can be called here, the names of its parameters in order, without ``self`` and ``cls``.
    """

    path: Path
    tree: ast.Module
    signatures: dict[str, list[str]]

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


@cache
def modules() -> tuple[Module, ...]:
    """All modules that make problems; a report only shows those of others."""
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "report"]
    trees = {_name(path): (path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths}
    own = {name: dict(_signatures(tree)) for name, (_, tree) in trees.items()}
    methods = {name: found for module in own.values() for name, found in module.items() if "kind" in found}
    return tuple(Module(path, tree, methods | _imported(tree, own) | own[name]) for name, (path, tree) in trees.items())


def _name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def _imported(tree: ast.Module, own: Mapping[str, Mapping[str, list[str]]]) -> dict[str, list[str]]:
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = [
        (one.asname or one.name, own.get(node.module or "", {}).get(one.name)) for node in imports for one in node.names
    ]
    return {name: parameters for name, parameters in found if parameters is not None}


def _signatures(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """What can be called, with the names of its parameters in their order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            yield node.name, _parameters(node)
        elif isinstance(node, ast.ClassDef):
            makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            annotated = [one.target for one in node.body if isinstance(one, ast.AnnAssign)]
            fields = [target.id for target in annotated if isinstance(target, ast.Name)]
            yield node.name, _parameters(makers[0]) if makers else fields


def _parameters(function: ast.FunctionDef) -> list[str]:
    return [one.arg for one in function.args.args if one.arg not in ("self", "cls")]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def argument(module: Module, call: ast.Call, name: str) -> ast.expr | None:
    """What a call gives to the parameter ``name``."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    parameters = module.signatures.get(called(call), [])
    position = parameters.index(name) if name in parameters else len(call.args)
    return call.args[position] if position < len(call.args) else None


def constants(value: ast.expr | None) -> set[str]:
    if isinstance(value, ast.IfExp):
        return constants(value.body) | constants(value.orelse)
    return {value.value} if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value else set()


@cache
def kinds() -> dict[str, set[str]]:
    """Every kind, with the modules that name it."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in modules():
        for kind in _kinds_in(module):
            found[kind].add(module.path.relative_to(PACKAGE).as_posix())
    return dict(found)


def _kinds_in(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and called(node) not in _NO_PROBLEM:
            yield from constants(argument(module, node, "kind"))
        elif isinstance(node, ast.Assign) and module.path.name != "errors.py":  # there, the kinds of errors without one
            yield from _assigned(node)
        elif (
            isinstance(node, ast.AnnAssign)
            and getattr(node.target, "id", "") == "_REFUSALS"
            and isinstance(node.value, ast.Dict)
        ):
            for value in node.value.values:
                yield from constants(value.elts[0] if isinstance(value, ast.Tuple) else None)
        elif isinstance(node, ast.FunctionDef):
            yield from _returned(node)


def _assigned(node: ast.Assign) -> Iterator[str]:
    for target in node.targets:
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
        if len(names) == len(values):
            for name, value in zip(names, values, strict=True):
                if isinstance(name, ast.Name) and name.id == "kind":
                    yield from constants(value)


def _returned(function: ast.FunctionDef) -> Iterator[str]:
    annotation = ast.unparse(function.returns) if function.returns else ""
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and annotation == "Words" and isinstance(node.value, ast.Tuple):
            yield from constants(node.value.elts[0])
        elif isinstance(node, ast.Return) and function.name == "_kind" and isinstance(node.value, ast.Attribute):
            default = getattr(errors, ast.unparse(node.value.value), None)
            yield from [default.kind] if default else []


PASSED_ON = frozenset({"kind", "failure.kind", "issue.kind", "case.kind", "doubt.problem.kind", "kind or cls.kind"})
"""A kind that came from elsewhere, where it was collected."""


def unseen() -> list[str]:
    """Where a problem gets a kind that nothing above can read."""
    return [
        f"{module.path.name}:{call.lineno}: {ast.unparse(given)}"
        for module in modules()
        for call in module.calls()
        if called(call) in {"Problem", "Issue", "of", "_Failure", "_Case", "UnreadableError"}
        and (given := argument(module, call, "kind")) is not None
        and not constants(given)
        and ast.unparse(given) not in PASSED_ON
    ]


def without_hint() -> set[tuple[str, str]]:
    """Kind and message, as source, of each problem that says nothing of what to do."""
    found = set()
    for module in modules():
        for call in module.calls():
            hint = argument(module, call, "hint")
            bare = hint is None or (isinstance(hint, ast.Constant) and not hint.value)
            if bare and called(call) not in _NO_PROBLEM | {"_decoded"}:
                for kind in constants(argument(module, call, "kind")):
                    found.add((kind, ast.unparse(argument(module, call, "message") or call)))
    return found
