"""`make feature` writes a feature with CRUD: a folder in `app/features/`, its tests, and a line in the list there.

Everything is written to a temporary folder first: a refusal is one line, and changes nothing.
"""

import argparse
import ast
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import NamedTuple

from sqlalchemy import Row

from app.core.models import Base
from app.core.schema import Schema

FEATURES, TESTS, EXTENSIONS = Path("app/features"), Path("tests/features"), Path("app/extensions")
LIST = FEATURES / "__init__.py"
TEXTS = Path(__file__).with_name("feature.txt")
"""The files, with `$name` and the like for what differs."""
PLURALS = [(r"ies$", "y"), (r"(ss|x|zz|ch|sh)es$", r"\1"), (r"(?<![sui])s$", "")]
"""The ends of regular English plurals with those of their singulars. `one=person` names any other."""


class Refused(Exception):
    """The feature cannot be written. Its text is the line for the developer."""


class Type(NamedTuple):
    """A type of `fields`: its name in Python, its column, its name in requests, and two values for the tests."""

    python: str
    column: str
    schema: str
    values: tuple[object, object]
    unique: bool = True


IDS = ("0b6ff1c5-3f0c-4d7e-9d52-2f1a7c0e8a11", "5d0c7a0e-5b3a-4b0f-8f0f-6a4f0c8d3e22")
TYPES = {
    "str": Type("str", "String(200)", "Text", ("first", "second")),
    "text": Type("str", "UnicodeText", "LongText", ("first", "second"), unique=False),
    "int": Type("int", "BigInteger", "Integer", (1, 2)),
    "float": Type("float", "Double", "Float", (1.5, 2.5)),
    "bool": Type("bool", "Boolean", "Flag", (True, False), unique=False),
    "decimal": Type("Decimal", "Numeric(15, 4)", "Amount", ("12.3456", "7.8912")),
    "date": Type("date", "Date", "date", ("2026-01-31", "2026-02-28")),
    "datetime": Type("datetime", "Timestamp", "Moment", ("2026-01-31T12:00:00Z", "2026-02-28T12:00:00Z")),
    "uuid": Type("UUID", "Uuid", "UUID", IDS),
}
ALIASES = {
    "LongText": r'Annotated[str, StringConstraints(min_length=1, max_length=10_000, pattern=r"^[^\x00]+$")]',
    "Integer": "Annotated[int, Field(ge=-MAX_INT, le=MAX_INT), NumberOnly]",
    "Float": "Annotated[float, Field(strict=True)]",
    "Flag": "Annotated[bool, Field(strict=True)]",
    "Amount": "Annotated[Decimal, Field(max_digits=15, decimal_places=4)]",
    # The first and the last day have no time in UTC for each zone.
    "Moment": "Annotated[AwareDatetime, Field(ge=datetime(2, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]",
}


class Field(NamedTuple):
    """A field of the feature."""

    name: str
    type: Type
    optional: bool
    unique: bool

    @classmethod
    def parse(cls, text: str) -> "Field":
        """Read a field, such as `age:int?` or `email:str:unique`."""
        name, kind, *flags = text.split(":") if ":" in text else (text, "")
        if not kind or flags not in ([], ["unique"]):
            raise Refused(f"{text!r} is not a field: write NAME:TYPE, NAME:TYPE? or NAME:TYPE:unique")
        check_name(name, "field")
        if any(hasattr(owner, name) for owner in (Schema, Base, Row)) or name in {"id", "created_at", "updated_at"}:
            raise Refused(f"the field {name!r} would hide one that each row or model has: choose another name")
        known = TYPES.get(kind.removesuffix("?"))
        if known is None:
            raise Refused(f"{name}: there is no type {kind!r}: choose from {', '.join(TYPES)}")
        if flags and not known.unique:
            raise Refused(f"{name}: a {kind} cannot be unique")
        return cls(name, known, kind.endswith("?"), bool(flags))

    @property
    def column(self) -> str:
        kind = f"{self.type.python} | None" if self.optional else self.type.python
        return f"    {self.name}: Mapped[{kind}] = mapped_column({self.type.column}{', unique=True' * self.unique})\n"

    def member(self, kind: str, default: str = "") -> str:
        """Return the line of a request or of an answer."""
        return f"    {self.name}: {kind}{f' | None{default}' * self.optional}\n"


def check_name(name: str, kind: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name) or iskeyword(name):
        raise Refused(f"{name!r} is not a name for a {kind}: use at most 40 of a-z, 0-9 and _, and no Python keyword")


def singular(plural: str) -> str:
    """Return the singular of a regular English plural, and any other word as it is."""
    return next((re.sub(end, one, plural) for end, one in PLURALS if re.search(end, plural)), plural)


def check_free(name: str) -> None:
    """Refuse the name of something that exists."""
    for path in (FEATURES / name, FEATURES / f"{name}.py", TESTS / name, *TESTS.rglob(f"test_{name}.py")):
        if path.exists():
            raise Refused(f"{path} exists: choose another name")
    try:
        import_module("app.main")  # so that the tables of all parts are known
    except Exception as error:  # noqa: BLE001  # the owner's code may raise anything
        raise Refused(f"the service cannot be imported, fix it first: {error!r}") from None
    if name in Base.metadata.tables:
        raise Refused(f"there is a table {name!r}: choose another name")


def listed(source: bytes, name: str) -> bytes:
    """Return the owner's list of features with one more: an import after the last one, and an item at the end."""
    tree = ast.parse(source)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} | {*bindings(tree), "app"}
    if name in names:
        raise Refused(f"{LIST} uses the name {name!r}: choose another name")
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "components"]
    end = functions[0].body[-1] if functions else None
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if not isinstance(end, ast.Return) or not isinstance(end.value, ast.List) or not imports:
        raise Refused(f'{LIST}: components() does not end with "return [...]", so nothing can be added to it')
    lines, items = source.splitlines(keepends=True), end.value.elts
    row, column, text = end.value.lineno, end.value.col_offset + 1, f"{name}.component()"
    if items:
        row, column, text = items[-1].end_lineno or 0, items[-1].end_col_offset or 0, f", {text}"
    lines[row - 1] = lines[row - 1][:column] + text.encode() + lines[row - 1][column:]
    lines.insert(imports[-1].end_lineno or 0, f"from app.features import {name}\n".encode())
    return b"".join(lines)


def bindings(tree: ast.Module) -> list[str]:
    """Return the names that a module imports or defines, each as often as it does so."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node.name)
    return found


def check_names(source: str, fields: list[Field]) -> None:
    """Refuse names that hide, or are hidden by, another one of the same file."""
    tree = ast.parse(source)
    for name, times in Counter(bindings(tree)).items():
        if times > 1:
            raise Refused(f"the class {name} would hide the imported {name}: choose another name")
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for field in fields:
        if field.name in used | {*bindings(tree)}:
            raise Refused(f"the field {field.name!r} would hide {field.name} in its own file: choose another name")


def written(name: str, one: str, fields: list[Field], guard: str) -> dict[Path, str]:
    """Return the texts of the new files, with more imports than they need."""
    words, path, many = one.replace("_", " "), name.replace("_", "-"), name.replace("_", " ")
    schemas = {field.type.schema for field in fields}
    unique = [field.name for field in fields if field.unique]
    values = {
        "name": name,
        "path": path,
        "one": one,
        "One": "".join(part.capitalize() for part in one.split("_")),
        "words": words,
        "a": f"{'an' if words[0] in 'aeio' else 'a'} {words}",
        "many": many,
        "Many": many.capitalize(),
        "columns": "".join(field.column for field in fields),
        "aliases": "".join(f"{alias} = {text}\n" for alias, text in ALIASES.items() if alias in schemas),
        "inputs": "".join(field.member(field.type.schema, " = None") for field in fields),
        "outputs": "".join(field.member(field.type.python) for field in fields),
        "taken": " | problems(AlreadyExists)" if unique else "",
        "given": repr({field.name: field.type.values[0] for field in fields}),
        "other": repr({field.name: field.type.values[1] for field in fields}),
        "unique": repr(unique),
        "guard": guard,
        "guard_import": f"\nfrom app.extensions.{guard} import require_scopes" if guard else "",
        "reading": f', dependencies=[require_scopes("{path}:read")]' if guard else "",
        "writing": f', dependencies=[require_scopes("{path}:write")]' if guard else "",
    }
    # Each line "=== PATH if CONDITION" begins a file, or more of it.
    parts = re.split(r"^=== (\S+)(?: if (\w+))?\n", TEXTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    texts: dict[Path, str] = {}
    for target, condition, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if condition is None or {"unique": unique, "guard": guard}[condition]:
            place = Path(Template(target).substitute(values))
            texts[place] = texts.get(place, "") + Template(text).substitute(values)
    return texts


def guards() -> list[str]:
    """Return the extensions that guard routes by scopes."""
    found = EXTENSIONS.glob("*/__init__.py")
    return sorted(path.parent.name for path in found if '"require_scopes"' in path.read_text(encoding="utf-8"))


def feature(name: str, fields: str, guard: str, one: str) -> None:
    """Write the feature."""
    check_name(name, "feature")
    one = one or singular(name)
    check_name(one, "feature")
    if guard and guard not in guards():
        raise Refused(f"there is no guard {guard!r}: {'choose ' + ' or '.join(guards()) if guards() else 'enable one'}")
    parsed = [Field.parse(text) for text in fields.split()]
    twice = [field for field, times in Counter(field.name for field in parsed).items() if times > 1]
    if twice:
        raise Refused(f"the field {twice[0]!r} is there twice")
    if not parsed:
        raise Refused('name its fields: fields="email:str:unique age:int?"')
    check_free(name)
    texts = written(name, one, parsed, guard)
    for path, text in texts.items():
        check_names(text, parsed if path.stem in {"models", "schemas"} else [])
    changed = listed(LIST.read_bytes(), name)
    with TemporaryDirectory(dir=".", prefix=".feature-") as folder:
        root = Path(folder)
        for path, text in texts.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        # They import all that some field needs; then the owner's file, of which only the imports are sorted.
        ruff(root, "check", "--fix", "--select", "I,F401")
        (root / LIST).write_bytes(changed)
        ruff(root, "check", "--fix", "--select", "I")
        ruff(root, "format")
        TESTS.mkdir(parents=True, exist_ok=True)
        (root / TESTS / f"test_{name}.py").rename(TESTS / f"test_{name}.py")
        (root / FEATURES / name).rename(FEATURES / name)
        (root / LIST).replace(LIST)


def ruff(root: Path, command: str, *options: str) -> None:
    """Run the service's formatter or linter on the new files."""
    arguments = [sys.executable, "-m", "ruff", command, "--quiet", *options, "--config", "pyproject.toml", str(root)]
    subprocess.run(arguments, check=True)  # noqa: S603  # our own command


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.feature", description=__doc__)
    parser.add_argument("name", help="the plural of a noun, such as customers")
    parser.add_argument("fields", help='such as "email:str:unique age:int?"')
    parser.add_argument("--guard", default="", help="the extension that guards the routes by scopes")
    parser.add_argument("--one", default="", help="the singular, if it is irregular")
    arguments = parser.parse_args()
    try:
        feature(arguments.name, arguments.fields, arguments.guard, arguments.one)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    sys.stdout.write(f"wrote {FEATURES / arguments.name} and {TESTS}/test_{arguments.name}.py. Next:\n")
    sys.stdout.write(f'  make migration m="add {arguments.name}"\n  make migrate\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
