"""The types that YAML documents are built from: values, and blocks of keys.

Each type says what pydantic-core checks and what an editor is told. Annotated classes could say the same, but pydantic
takes longer to read those than the rest of a small run, and would hand every value, secrets included, to the plugins
that other packages install.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from pydantic_core import CoreConfig, SchemaValidator, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic_core import CoreSchema

JsonSchema: TypeAlias = dict[str, Any]

_CONFIG: Final = CoreConfig(extra_fields_behavior="forbid", strict=True, hide_input_in_errors=True)


class ValueType(NamedTuple):
    """The type of a value.

    Attributes:
        core: What pydantic-core checks.
        json: What the JSON Schema says.
        choices: The strings that it allows, if it allows nothing else but null.
        nullable: Whether it allows null.
        block: The block that it is, or that its items are.
    """

    core: CoreSchema
    json: JsonSchema
    choices: tuple[str, ...] = ()
    nullable: bool = False
    block: BlockType | None = None


class Key(NamedTuple):
    """A key of a block.

    Attributes:
        type: The type of its value.
        title: What an editor calls it.
        description: What it means.
        examples: Values that an editor offers.
        default: The value that an omitted key stands for, if any. A validator does not add it.
        required: Whether it cannot be omitted.
    """

    type: ValueType
    title: str = ""
    description: str = ""
    examples: tuple[object, ...] = ()
    default: object = None
    required: bool = False

    @property
    def json(self) -> JsonSchema:
        """What the JSON Schema says of its value."""
        words = {"title": self.title, "description": self.description, "examples": list(self.examples)}
        found = {**self.type.json, **{word: value for word, value in words.items() if value}}
        return found if self.default is None else found | {"default": self.default}


class BlockType:
    """A mapping with fixed keys; any other key is an error.

    Attributes:
        name: Its name in the JSON Schema.
        description: What it is for.
        keys: Its keys, in the order in which an editor lists them.
    """

    def __init__(self, name: str, description: str, keys: Mapping[str, Key]) -> None:
        self.name = name
        self.description = description
        self.keys = keys

    @cached_property
    def type(self) -> ValueType:
        """The type of a value that is such a block."""
        fields = {
            name: core_schema.typed_dict_field(key.type.core, required=key.required) for name, key in self.keys.items()
        }
        core = core_schema.typed_dict_schema(fields, config=_CONFIG)  # it inherits no settings from around it
        return ValueType(core, {"$ref": f"#/$defs/{self.name}"}, block=self)

    @cached_property
    def validator(self) -> SchemaValidator:
        """Validates a document that is such a block, or null."""
        return validator(nullable(self.type))

    @property
    def json(self) -> JsonSchema:
        """Its JSON Schema, in which other blocks are references."""
        required = [name for name, key in self.keys.items() if key.required]
        return {
            "title": self.name,
            "description": self.description,
            "type": "object",
            "properties": {name: key.json for name, key in self.keys.items()},
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }


Shape: TypeAlias = "Mapping[tuple[str, ...], BlockType]"
"""A document's blocks, by the keys that lead to them; indexes are left out. The root is ``()``."""


def shape_of(root: BlockType) -> Shape:
    """All blocks of a document."""
    return dict(_blocks(root, ()))


def _blocks(block: BlockType, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], BlockType]]:
    yield path, block
    for name, key in block.keys.items():
        if key.type.block:
            yield from _blocks(key.type.block, (*path, name))


def json_schema(shape: Shape) -> JsonSchema:
    """The JSON Schema of a document."""
    inner = {block.name: block.json for path, block in shape.items() if path}
    return {**shape[()].json, "$defs": dict(sorted(inner.items()))}


def validator(kind: ValueType) -> SchemaValidator:
    """A validator of such values. Unknown keys are errors, nothing is converted, and its errors hide their input."""
    return SchemaValidator(kind.core, _CONFIG)


STRING: Final = ValueType(core_schema.str_schema(), {"type": "string"})
BOOLEAN: Final = ValueType(core_schema.bool_schema(), {"type": "boolean"})
NOT_EMPTY: Final = ValueType(core_schema.str_schema(min_length=1), {"type": "string", "minLength": 1})


def whole_number(smallest: int, largest: int | None = None) -> ValueType:
    """A number without a fraction."""
    limits = {"minimum": smallest} if largest is None else {"minimum": smallest, "maximum": largest}
    return ValueType(core_schema.int_schema(ge=smallest, le=largest), {"type": "integer", **limits})


def one_of(*choices: str) -> ValueType:
    """One of a few strings."""
    return ValueType(core_schema.literal_schema([*choices]), {"type": "string", "enum": [*choices]}, choices)


def nullable(kind: ValueType) -> ValueType:
    """The type, or null."""
    json = {"anyOf": [kind.json, {"type": "null"}]}
    return kind._replace(core=core_schema.nullable_schema(kind.core), json=json, nullable=True)


def list_of(kind: ValueType) -> ValueType:
    """A list of values of the type."""
    return ValueType(core_schema.list_schema(kind.core), {"type": "array", "items": kind.json}, block=kind.block)


def mapping_of(key: ValueType, value: ValueType) -> ValueType:
    """A mapping with keys of the author's choice."""
    json = {"type": "object", "additionalProperties": value.json}
    return ValueType(core_schema.dict_schema(key.core, value.core), json)


def checked(kind: ValueType, *checks: Callable[[Any], object], **json: object) -> ValueType:
    """The type, with further checks. Each returns the value, or one to replace it, and raises ``InvalidValueError``.

    Args:
        kind: The type.
        checks: In the order in which they run.
        json: What the JSON Schema says besides.
    """
    core = kind.core
    for check in checks:
        core = core_schema.no_info_after_validator_function(check, core)
    return kind._replace(core=core, json=kind.json | json)


def parsed(parse: Callable[[Any], object], json: JsonSchema) -> ValueType:
    """What a function makes of any value; it raises ``InvalidValueError``. ``json`` describes the value itself."""
    return ValueType(core_schema.no_info_plain_validator_function(parse), json)
