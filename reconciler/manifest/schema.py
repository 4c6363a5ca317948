"""The JSON Schema of the YAML, for editors; ``python -m reconciler.manifest.schema`` writes the shipped file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core.core_schema import WithDefaultSchema

_FILE: Final = Path(__file__).with_name("manifest.schema.json")


def spec_schema() -> dict[str, object]:
    """The schema, generated from the models."""
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

    from reconciler.manifest.document import Document

    class WithoutDefaults(GenerateJsonSchema):
        """The models' defaults are stand-ins for omitted keys; an editor would offer them as values."""

        def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
            return self.generate_inner(schema["schema"])

    generated = Document.model_json_schema(schema_generator=WithoutDefaults)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated, "title": "Email accounts"}


def schema_text() -> str:
    """The shipped schema, as text; needs no pydantic."""
    return _FILE.read_text(encoding="utf-8")


def write_schema() -> None:
    """Generates the shipped file anew."""
    _FILE.write_text(json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
