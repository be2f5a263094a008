"""`python -m dev.openapi` writes openapi.json; `--check` names what in it the code no longer keeps for clients."""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from operator import gt, lt, ne
from pathlib import Path
from typing import Any

from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings, load
from app.main import SETTINGS, create_app, default_components, refuse

FILE = Path(__file__).parents[1] / "openapi.json"
Schema = dict[str, Any]
"""A part of an OpenAPI document."""


def settings() -> Settings:
    """Return the defaults, and for a required setting the first of its `examples`: no secret and no server of yours."""
    for variable in [name for name in os.environ if "__" in name.strip("_")]:
        del os.environ[variable]
    os.environ["SECRETS_DIR"] = os.devnull
    given: dict[str, dict[str, Any]] = {"service": {"environment": "development"}}
    for group in SETTINGS:
        for name, field in group.model_fields.items():
            if field.is_required():
                example = (field.examples or ["an-example-of-a-setting"])[0]
                given[group.group] = given.get(group.group, {}) | {name: example}
    return load(SETTINGS, env_file=None, overrides=given)


def document() -> Schema:
    """Return the OpenAPI document of the service."""
    with warnings.catch_warnings(action="error", category=UserWarning):  # two operations with one id
        made = settings()
        described: Schema = create_app(default_components(made), made).openapi()
    return json.loads(json.dumps(described))  # type: ignore[no-any-return]


def breaks(old: Schema, new: Schema) -> Iterator[str]:
    """Yield each change that fails clients of the old document: what is gone, newly required, or narrower."""
    for path, operations in old["paths"].items():
        for method, before in operations.items():
            after = new["paths"].get(path, {}).get(method)
            found = _Comparison(old, new).operation(before, after) if after else ("is gone",)
            yield from (f"{method.upper()} {path}: {reason}" for reason in found)


class _Comparison:
    """The comparison of one operation in two documents."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new
        self.seen: set[str] = set()

    def operation(self, old: Schema, new: Schema) -> Iterator[str]:
        """Yield what breaks in the name, the parameters, the body and the responses."""
        if old["operationId"] != new["operationId"]:
            yield f"operation {old['operationId']} is now {new['operationId']}"
        if new.get("security") and not old.get("security"):
            yield "credentials are now required"
        before, after = _parameters(old), _parameters(new)
        for key in before.keys() - after.keys():
            yield f"{key} is gone"
        for key, parameter in after.items():
            if parameter["required"] and not before.get(key, {"required": False})["required"]:
                yield f"{key} is now required"
            if key in before:
                yield from self._sent(before[key]["schema"], parameter["schema"], key)
        body, changed = old.get("requestBody", {}), new.get("requestBody", {})
        if changed.get("required") and not body.get("required"):
            yield "body is now required"
        for kind, part in body.get("content", {}).items():
            if kind in changed.get("content", {}):
                yield from self._sent(part["schema"], changed["content"][kind]["schema"], "body")
            else:
                yield f"body may no longer be {kind}"
        for status, response in old["responses"].items():
            if status.startswith("2"):
                yield from self._response(f"response {status}", response, new["responses"].get(status))

    def _response(self, place: str, old: Schema, new: Schema | None) -> Iterator[str]:
        if new is None:
            yield f"{place} is gone"
            return
        for name in old.get("headers", {}).keys() - new.get("headers", {}).keys():
            yield f"{place} has no header {name}"
        for kind, part in old.get("content", {}).items():
            if kind in new.get("content", {}):
                yield from self._received(part.get("schema", {}), new["content"][kind].get("schema", {}), place)
            else:
                yield f"{place} is no longer {kind}"

    def _sent(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        """Yield what clients may no longer send."""
        before, after = _alternatives(old, self.old), _alternatives(new, self.new)
        types, values = _types(after), _values(after)
        lost = {value for value in _values(before) - values if type(json.loads(value)) not in map(_PYTHON.get, types)}
        lost |= {kind for kind in _types(before) - types if not (kind == "integer" and "number" in types)}
        if (types or values) and lost:
            yield f"{place} may no longer be {', '.join(sorted(lost))}"
        if (types or values) and not (_types(before) or _values(before)):
            yield f"{place} may only be {', '.join(sorted(types | values))}"
        for one, other in zip(before, after, strict=False):
            for limit, tighter in _LIMITS.items():
                if limit in other and (limit not in one or tighter(one[limit], other[limit])):
                    yield f"{place} has {limit} {other[limit]}" + (f", was {one[limit]}" if limit in one else "")
            for name in sorted(set(other.get("required", ())) - set(one.get("required", ()))):
                yield f"{place}.{name} is now required"
            yield from self._members(one, other, place, self._sent)

    def _received(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        """Yield what clients may no longer find, or do not know."""
        before, after = _alternatives(old, self.old), _alternatives(new, self.new)
        if _types(before) and (fresh := _types(after) - _types(before)):
            yield f"{place} may now be {', '.join(sorted(fresh))}"
        for one, other in zip(before, after, strict=False):
            for name in sorted(set(one.get("required", ())) - set(other.get("required", ()))):
                if name in other.get("properties", {}):
                    yield f"{place}.{name} may now be absent"
            yield from self._members(one, other, place, self._received)

    def _members(
        self, old: Schema, new: Schema, place: str, compare: Callable[[Schema, Schema, str], Iterator[str]]
    ) -> Iterator[str]:
        if (key := f"{compare.__name__} {old} {new}") in self.seen:  # a schema may contain itself
            return
        self.seen.add(key)
        fields = new.get("properties", {})
        for name, part in old.get("properties", {}).items():
            if name in fields:
                yield from compare(part, fields[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is gone"
        if "items" in old and "items" in new:
            yield from compare(old["items"], new["items"], f"{place}[]")


def _parameters(operation: Schema) -> dict[str, Schema]:
    return {f"{one['in']} {one['name']}": one for one in operation.get("parameters", ())}


def _alternatives(schema: Schema, document: Schema) -> list[Schema]:
    """Return the schemas of which a value has to fit one."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = schema.get("anyOf") or schema.get("oneOf")
    return [one for choice in choices for one in _alternatives(choice, document)] if choices else [schema]


def _types(alternatives: list[Schema]) -> set[str]:
    """Return the types of values that are not listed."""
    return {one["type"] for one in alternatives if "type" in one and not {"enum", "const"} & one.keys()}


def _values(alternatives: list[Schema]) -> set[str]:
    """Return the values that are listed, as JSON."""
    listed = [one.get("enum", [one["const"]] if "const" in one else []) for one in alternatives]
    return {json.dumps(value) for values in listed for value in values}


_PYTHON = {"string": str, "integer": int, "number": float, "boolean": bool, "null": type(None)}
_LIMITS: dict[str, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(("minLength", "minimum", "exclusiveMinimum", "minItems"), lt),
    **dict.fromkeys(("maxLength", "maximum", "exclusiveMaximum", "maxItems"), gt),
    "pattern": ne,
}
"""The limits of a value, each with what makes it tighter."""


def main() -> int:
    """Read the command line.

    Returns:
        1 if clients break, 2 if the settings of a feature have no example.
    """
    parser = argparse.ArgumentParser(prog="python -m dev.openapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with openapi.json in place of writing it")
    checks = parser.parse_args().check
    try:
        new = document()
    except ConfigurationInvalid as error:
        return refuse(error)
    if not checks:
        FILE.write_text(json.dumps(new, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    if not FILE.exists():
        sys.stdout.write("there is no openapi.json to compare with: `make openapi` writes it, commit it\n")
        return 0
    old = json.loads(FILE.read_text(encoding="utf-8"))
    found = sorted(breaks(old, new))
    sys.stdout.writelines(f"{line}\n" for line in found)
    if found:
        sys.stdout.write(f"{len(found)} of these fail clients: undo them, or accept them with `make openapi`\n")
    elif old != new:
        sys.stdout.write("openapi.json is older than the code, and clients of it work: `make openapi` writes it anew\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
