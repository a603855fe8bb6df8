"""What --json prints, held against its schema in docs/schema."""

import json
from typing import Any

from documents import ROOT


def validate(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "$") -> list[str]:
    """Every breach of a JSON schema: the part of the standard that our schemas use."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return validate(value, root["$defs"][name], root, where)
    kinds: dict[str, Any] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
        "null": type(None),
    }  # fmt: skip
    wrong = []
    if "const" in schema and value != schema["const"]:
        wrong.append(f"{where}: not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{where}: {value!r} is not one of {schema['enum']}")
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        is_number_that_is_a_bool = isinstance(value, bool) and "boolean" not in names
        if is_number_that_is_a_bool or not any(isinstance(value, kinds[name]) for name in names):
            return [*wrong, f"{where}: {value!r} is no {names}"]
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
        wrong += [f"{where}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            if name in properties:
                wrong += validate(item, properties[name], root, f"{where}.{name}")
            elif more is False:
                wrong.append(f"{where}: unknown {name}")
            elif isinstance(more, dict):
                wrong += validate(item, more, root, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            wrong += validate(item, schema["items"], root, f"{where}[{index}]")
    return wrong


def breaches(name: str, content: Any) -> list[str]:
    """Every breach of docs/schema/NAME.schema.json."""
    schema = json.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    return validate(content, schema, schema)
