"""The page of the HTTP API, made from `docs/openapi.yaml`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_SOURCE = Path(__file__).parents[1] / "openapi.yaml"
_METHODS = ("get", "post", "put")
_MARK = "#/components/"


def http_api_page() -> str:
    """Write the page: the operations by tag, the webhook, and the schemas.

    Returns:
        Markdown.
    """
    return "\n".join(_Page(yaml.safe_load(_SOURCE.read_text("utf-8"))).lines()) + "\n"


class _Page:
    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def lines(self) -> Iterator[str]:
        info = self._document["info"]
        yield f"# HTTP API\n\n{info['description']}"
        yield "This page is made from [openapi.yaml](openapi.yaml) (OpenAPI 3.1)."
        yield "The emulator serves the same as JSON, at `/_emulator/openapi.json`.\n"
        for tag in self._document["tags"]:
            yield f"## {tag['name'][0].upper()}{tag['name'][1:]}\n\n{tag['description']}\n"
            for path, item in self._document["paths"].items():
                for method in _METHODS:
                    if tag["name"] in item.get(method, {}).get("tags", ()):
                        shared = item.get("parameters", [])
                        yield from self._operation(f"{method.upper()} {path}", item[method], shared)
        yield "## Webhooks\n"
        for name, item in self._document["webhooks"].items():
            yield from self._operation(f"POST, webhook “{name}”", item["post"], [])
        yield "## Schemas\n"
        for name, schema in self._document["components"]["schemas"].items():
            yield from self._schema(name, schema)

    def _operation(self, title: str, operation: Any, shared: list[Any]) -> Iterator[str]:
        yield f"### {operation['summary'].rstrip('.')}\n\n`{title}`\n"
        yield operation.get("description", "")
        parameters = [self._resolved(each) for each in [*shared, *operation.get("parameters", [])]]
        if parameters:
            yield "\n| parameter | in | type | meaning |\n| --- | --- | --- | --- |"
            for each in parameters:
                kind = self._type(each["schema"])
                yield f"| `{each['name']}` | {each['in']} | {kind} | {_cell(each)} |"
        if body := self._resolved(operation.get("requestBody", {})):
            yield "\nThe request's body, for example:\n"
            yield from self._example(body)
        yield "\n| answer | meaning |\n| --- | --- |"
        for status, answer in operation["responses"].items():
            yield f"| {status} | {_cell(self._resolved(answer))} |"
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                yield f"\n{status}, for example:\n" if self._resolved(answer).get("content") else ""
                yield from self._example(self._resolved(answer))
        yield ""

    def _example(self, holder: Any) -> Iterator[str]:
        for content in holder.get("content", {}).values():
            values = [each["value"] for each in content.get("examples", {}).values()]
            for value in [content["example"]] if "example" in content else values[:1]:
                yield f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"
                return

    def _schema(self, name: str, schema: Any) -> Iterator[str]:
        yield f"### {name}\n\n{schema.get('description', '')}\n"
        properties = schema.get("properties")
        if not properties:
            yield f"Type: {self._type(schema)}.\n"
            return
        required = schema.get("required", ())
        yield "| field | type | meaning |\n| --- | --- | --- |"
        for field, each in properties.items():
            meaning = _cell(self._resolved(each)) + ("" if field in required else " Optional.")
            yield f"| `{field}` | {self._type(each)} | {meaning.strip()} |"
        yield ""

    def _type(self, schema: Any) -> str:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return f"[{name}](#{name.lower()})"
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return " or ".join(self._type(each) for each in schema[word])
        if "const" in schema:
            return f"`{json.dumps(schema['const'])}`"
        if "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema["enum"])
        kind = schema.get("type", "any")
        if kind == "array":
            return f"array of {self._type(schema.get('items', {}))}"
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        if "minimum" in schema and "maximum" in schema:
            kind += f", {schema['minimum']} to {schema['maximum']}"
        if "default" in schema:
            kind += f", by default {schema['default']}"
        return str(kind)

    def _resolved(self, value: Any) -> Any:
        if "$ref" not in value:
            return value
        _, kind, name = value["$ref"].removeprefix(_MARK.rstrip("/")).split("/")
        return self._document["components"][kind][name]


def _cell(holder: Any) -> str:
    return " ".join(holder.get("description", "").split())
