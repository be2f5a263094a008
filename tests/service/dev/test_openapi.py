"""`python -m dev.openapi`: the document is written without settings, and what breaks clients has a line."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dev import openapi

ITEM = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 9},
        "colour": {"enum": ["red", "green"], "type": "string"},
        "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "extra": {},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/NAME"}},
    },
}
SENT = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}}
RECEIVED = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Found"}}}}
DOCUMENT = {
    "paths": {
        "/items": {
            "post": {
                "operationId": "items.add",
                "parameters": [{"in": "query", "name": "dry", "required": False, "schema": {"type": "boolean"}}],
                "requestBody": SENT,
                "responses": {"201": RECEIVED | {"headers": {"ETag": {}}}, "404": {"description": ""}},
            },
            "get": {"operationId": "items.list", "responses": {"200": {"description": ""}}},
        }
    },
    "components": {"schemas": {name: json.loads(json.dumps(ITEM).replace("NAME", name)) for name in ("Item", "Found")}},
}


def changed(change: Callable[[Any, Any, Any], object]) -> list[str]:
    """The lines about a change of the operation, of what is sent, or of what is received."""
    new = json.loads(json.dumps(DOCUMENT))
    change(new["paths"]["/items"]["post"], *(new["components"]["schemas"][name] for name in ("Item", "Found")))
    return list(openapi.breaks(DOCUMENT, new))


BREAKS: dict[str, Callable[[Any, Any, Any], object]] = {
    "operation items.add is now items.create": lambda post, *_: post.update(operationId="items.create"),
    "credentials are now required": lambda post, *_: post.update(security=[{"key": []}]),
    "query dry is gone": lambda post, *_: post["parameters"].clear(),
    "query dry is now required": lambda post, *_: post["parameters"][0].update(required=True),
    "header If-Match is now required": lambda post, *_: post["parameters"].append(
        {"in": "header", "name": "If-Match", "required": True, "schema": {"type": "string"}}
    ),
    "query dry may no longer be boolean": lambda post, *_: post["parameters"][0].update(schema={"type": "integer"}),
    "body is now required": lambda post, *_: post["requestBody"].update(required=True),
    "body may no longer be application/json": lambda post, *_: post["requestBody"].update(content={"text/csv": {}}),
    "body.colour is now required": lambda _, sent, __: sent["required"].append("colour"),
    "body.colour is gone": lambda _, sent, __: sent["properties"].pop("colour"),
    'body.colour may no longer be "green"': lambda _, sent, __: sent["properties"]["colour"]["enum"].pop(),
    'body.extra may only be "x"': lambda _, sent, __: sent["properties"].update(extra={"const": "x"}),
    "body.name has maxLength 8, was 9": lambda _, sent, __: sent["properties"]["name"].update(maxLength=8),
    "body.name has minLength 1": lambda _, sent, __: sent["properties"]["name"].update(minLength=1),
    "body.price may no longer be null": lambda _, sent, __: sent["properties"]["price"]["anyOf"].pop(),
    "body.price may no longer be number": lambda _, sent, __: sent["properties"].update(price={"type": "null"}),
    "response 201 is gone": lambda post, *_: post["responses"].pop("201"),
    "response 201 has no header ETag": lambda post, *_: post["responses"]["201"]["headers"].clear(),
    "response 201 is no longer application/json": lambda post, *_: post["responses"]["201"].update(content={}),
    "response 201.name is gone": lambda _, __, found: found["properties"].pop("name"),
    "response 201.name may now be absent": lambda _, __, found: found["required"].clear(),
    "response 201.name may now be null": lambda _, __, found: found["properties"].update(
        name={"anyOf": [{"type": "string"}, {"type": "null"}]}
    ),
    "response 201.parts[] may now be string": lambda _, __, found: found["properties"]["parts"].update(
        items={"type": "string"}
    ),
}


@pytest.mark.parametrize("line", BREAKS)
def test_what_breaks_clients_has_a_line(line: str) -> None:
    assert f"POST /items: {line}" in changed(BREAKS[line])


def test_a_path_or_a_method_that_is_gone_has_a_line() -> None:
    assert list(openapi.breaks(DOCUMENT, DOCUMENT | {"paths": {}})) == ["POST /items: is gone", "GET /items: is gone"]


COMPATIBLE: dict[str, Callable[[Any, Any, Any], object]] = {
    "nothing": lambda *_: None,
    "an optional parameter": lambda post, *_: post["parameters"].append(
        {"in": "query", "name": "page", "required": False, "schema": {"type": "integer"}}
    ),
    "an optional field": lambda _, sent, __: sent["properties"].update(size={"type": "string"}),
    "no longer required": lambda _, sent, __: sent["required"].clear(),
    "a wider text": lambda _, sent, __: sent["properties"].update(name={"type": "string", "maxLength": 10}),
    "one more value": lambda _, sent, __: sent["properties"]["colour"]["enum"].append("blue"),
    "any text for listed values": lambda _, sent, __: sent["properties"].update(colour={"type": "string"}),
    "one more type": lambda _, sent, __: sent["properties"]["name"].update(
        anyOf=[{"type": "string"}, {"type": "null"}]
    ),
    "a field of a response": lambda _, __, found: found["properties"].update(size={"type": "string"}),
    "a narrower response": lambda _, __, found: found["properties"].update(price={"type": "number"}),
    "another error": lambda post, *_: post["responses"].pop("404"),
}


@pytest.mark.parametrize("change", COMPATIBLE)
def test_what_clients_do_not_notice_has_no_line(change: str) -> None:
    assert changed(COMPATIBLE[change]) == []


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for the document; the variables of this process stay as they are."""
    monkeypatch.setattr(openapi, "FILE", tmp_path / "openapi.json")
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return tmp_path / "openapi.json"


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["openapi", *arguments])
    return openapi.main()


def test_the_document_is_written_and_compared(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--check", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == "there is no openapi.json to compare with: `make openapi` writes it, commit it\n"
    assert run(monkeypatch=monkeypatch) == 0
    assert run("--check", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out == ""
    document = json.loads(file.read_text())
    removed = document["paths"].pop("/health/live")
    file.write_text(json.dumps(document))
    assert run("--check", monkeypatch=monkeypatch) == 0
    assert "`make openapi` writes it anew" in capsys.readouterr().out
    document["paths"] |= {"/health/live": removed, "/gone": removed}
    file.write_text(json.dumps(document))
    assert run("--check", monkeypatch=monkeypatch) == 1
    said = capsys.readouterr().out.splitlines()
    assert said == ["GET /gone: is gone", "1 of these fail clients: undo them, or accept them with `make openapi`"]
