"""The docstrings of what a user calls: each argument, field and attribute is told of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import iottly_async
from iottly_async import emulator, resources
from iottly_async.webhooks import parse as webhook

_OURS = "iottly_async."


def told(text: str, name: str) -> bool:
    """Whether a docstring names something, as a word of its own."""
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def faces() -> dict[str, Any]:
    """Every class and function that a user is given by name."""
    found = {name: getattr(iottly_async, name) for name in iottly_async.__all__}
    found |= {name: getattr(resources, name) for name in resources.__all__}
    found |= {name: getattr(emulator, name) for name in emulator.__all__}
    found |= {"parse_webhook": webhook.parse_webhook, "WebhookReceiver": webhook.WebhookReceiver}
    found |= {"RedisLimiter": iottly_async.RedisLimiter}
    project = iottly_async.IottlySession("key").project("p")
    parts = (project, project.licenses, project.devices, project.commands)
    return found | {type(part).__name__: type(part) for part in parts}


FACES = faces()
MODELS = {name: face for name, face in FACES.items() if attrs.has(face)}


def methods() -> Iterator[Any]:
    """Every public method and function, with the docstring of its class."""
    for name, face in FACES.items():
        if inspect.isfunction(face):
            yield pytest.param(face, "", id=name)
        if not inspect.isclass(face):
            continue
        for member, method in inspect.getmembers(face, inspect.isfunction):
            if not member.startswith("_") and method.__module__.startswith(_OURS):
                yield pytest.param(method, inspect.getdoc(face) or "", id=f"{name}.{member}")


@pytest.mark.parametrize(("method", "of_class"), [*methods()])
def test_every_argument_is_told_of(method: Any, of_class: str) -> None:
    """A method's docstring, or its class's, names every argument it takes."""
    text = f"{inspect.getdoc(method) or ''}\n{of_class}"
    given = [name for name in inspect.signature(method).parameters if name != "self"]
    assert [name for name in given if not told(text, name)] == []


@pytest.mark.parametrize("name", MODELS)
def test_every_field_is_told_of(name: str) -> None:
    """A model's docstring names every field that a user may set or read."""
    text = inspect.getdoc(MODELS[name]) or ""
    fields = [field.name for field in attrs.fields(MODELS[name])]
    public = [field for field in fields if not field.startswith("_")]
    assert [field for field in public if not told(text, field)] == []


@pytest.mark.parametrize("name", ["IottlySession", "RateLimiter", "RedisLimiter"])
def test_every_argument_of_a_class_is_told_of(name: str) -> None:
    """The docstring of a class that a user makes names what it is made of."""
    text = inspect.getdoc(FACES[name]) or ""
    given = list(inspect.signature(FACES[name]).parameters)
    assert [each for each in given if not told(text, each)] == []
