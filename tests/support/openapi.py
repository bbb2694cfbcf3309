"""`docs/openapi.yaml` as tests read it, and the tool that makes the emulator's copy from it.

The emulator serves the document as JSON, so that it needs no reader of YAML. After a change of
`docs/openapi.yaml`, make the copy again: ``python -m tests.support.openapi``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "docs" / "openapi.yaml"
COPY: Final = ROOT / "iottly_async" / "emulator" / "http" / "openapi.json"
DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(SOURCE.read_text("utf-8"))

_METHODS: Final = frozenset({"get", "put", "post"})
_URI: Final = "urn:iottly-async:openapi"
_REGISTRY: Final = Registry().with_resource(_URI, DRAFT202012.create_resource(DOCUMENT))
_FORMATS: Final = FormatChecker(formats=())


class Operation(NamedTuple):
    """One operation of the document.

    Attributes:
        id: its ``operationId``.
        method: of HTTP, in upper case.
        path: with names in braces.
        place: a JSON pointer to it.
    """

    id: str
    method: str
    path: str
    place: str

    @property
    def value(self) -> dict[str, Any]:
        """The operation itself."""
        found: dict[str, Any] = at(self.place)
        return found

    def query(self) -> dict[str, str]:
        """Its query parameters, and a pointer to the schema of each."""
        found = enumerate(self.value.get("parameters", ()))
        return {
            parameter["name"]: f"{self.place}/parameters/{index}/schema"
            for index, parameter in found
            if parameter["in"] == "query"
        }


def at(pointer: str) -> Any:
    """What a JSON pointer leads to; a reference there is followed."""
    value: Any = DOCUMENT
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    if isinstance(value, Mapping) and "$ref" in value:
        return at(value["$ref"].removeprefix("#"))
    return value


def _operations() -> Iterator[Operation]:
    for path, item in DOCUMENT["paths"].items():
        for method in sorted(_METHODS & item.keys()):
            place = f"/paths/{path.replace('/', '~1')}/{method}"
            yield Operation(item[method]["operationId"], method.upper(), path, place)


OPERATIONS: Final = {operation.id: operation for operation in _operations()}


def problems(pointer: str, value: object) -> list[str]:
    """What a JSON value lacks of the schema that a JSON pointer leads to.

    Returns:
        Texts with the place in the value; none if it is valid.
    """
    validator = Draft202012Validator(
        {"$ref": f"{_URI}#{pointer}"}, registry=_REGISTRY, format_checker=_FORMATS
    )
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def operation_of(method: str, target: str) -> Operation:
    """The operation that a request is one of; a path without names comes before one with names.

    Raises:
        ValueError: there is none.
    """
    parts = urlsplit(target).path.split("/")

    def matches(operation: Operation) -> bool:
        own = operation.path.split("/")
        return (
            operation.method == method
            and len(own) == len(parts)
            and all(
                name.startswith("{") or name == part for name, part in zip(own, parts, strict=True)
            )
        )

    return min(filter(matches, OPERATIONS.values()), key=lambda found: found.path.count("{"))


def request_problems(operation: Operation, target: str, body: bytes | None) -> list[str]:
    """What a request lacks of the operation.

    Returns:
        Texts; none if query and body are as the document has them.
    """
    schemas, found = operation.query(), []
    for name, text in parse_qsl(urlsplit(target).query, keep_blank_values=True):
        if name not in schemas:
            found.append(f"unknown: {name}")
            continue
        is_number = at(schemas[name]).get("type") == "integer" and text.isdigit()
        found += problems(schemas[name], int(text) if is_number else text)
    expected = "requestBody" in operation.value
    if body is not None and expected:
        place = f"{operation.place}/requestBody/content/application~1json/schema"
        found += problems(place, json.loads(body))
    elif expected is not (body is not None):
        found.append("a body is needed" if expected else "no body is expected")
    return found


def answer_problems(
    operation: Operation, status: int, headers: Mapping[str, str], body: bytes
) -> list[str]:
    """What an answer lacks of the operation's response.

    Returns:
        Texts; none if status, headers and body are as the document has them.
    """
    responses = operation.value["responses"]
    key = str(status) if str(status) in responses else f"{status // 100}XX"
    if key not in responses:
        return [f"the document has no status {status}"]
    place = f"{operation.place}/responses/{key}"
    if "$ref" in responses[key]:
        place = responses[key]["$ref"].removeprefix("#")
    response = at(place)
    kind = headers.get("Content-Type", "").partition(";")[0]
    if kind not in response["content"]:
        return [f"the document has no {kind} for status {status}"]
    found = []
    for name, header in response["headers"].items():
        if name in headers:
            text = headers[name]
            value = int(text) if text.isdigit() and name.startswith("X-") else text
            found += problems(f"{header['$ref'].removeprefix('#')}/schema", value)
    if kind == "application/json":
        found += problems(f"{place}/content/application~1json/schema", json.loads(body))
    return found


_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
_ZONED: Final = re.compile(_LOCAL.pattern + r"(Z|[+-]\d\d:\d\d)", re.ASCII)


def _is_time(pattern: re.Pattern[str], value: object) -> bool:
    if not isinstance(value, str):
        return True
    return pattern.fullmatch(value) is not None and datetime.fromisoformat(value) is not None


# RFC 3339, whose check by jsonschema needs another package; and the same without a zone, which
# is in the registry of OpenAPI's formats.
_FORMATS.checks("date-time", ValueError)(partial(_is_time, _ZONED))
_FORMATS.checks("date-time-local", ValueError)(partial(_is_time, _LOCAL))


def as_json() -> str:
    """The document as the emulator's copy has it."""
    return json.dumps(DOCUMENT, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COPY.write_text(as_json(), "utf-8")
