"""Changes of models whose revision could lose or alter rows, each with the models and the rows that it is tried on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PARENTS = """
class Parent(Base):
    __tablename__ = "parents"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    note: Mapped[str | None] = mapped_column(String(50))
"""
CHILDREN = """
class Child(Base):
    __tablename__ = "children"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    parent_id: Mapped[int | None] = mapped_column({reference})
"""
NODES = """
class Node(Base):
    __tablename__ = "nodes"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    next_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="SET NULL"), index=True)
"""
TAGS = """
class Post(Base):
    __tablename__ = "posts"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))

class Tag(Base):
    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))

Table(
    "posts_tags",
    Base.metadata,
    Column("post_id", ForeignKey("posts.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True),
)
"""
REFERENCE = 'ForeignKey("parents.id", ondelete="CASCADE")'
FAMILY = PARENTS + CHILDREN.format(reference=REFERENCE)
ROWS = [
    "INSERT INTO parents (id, name, note) VALUES (1, 'one', 'first'), (2, 'two', 'second')",
    "INSERT INTO children (id, parent_id) VALUES (1, 1), (2, 2)",
]
PAIR = "(id, name) VALUES (1, 'one'), (2, 'two')"

FIELDS = ("before", "after", "rows", "edit", "marked", "next")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One change: the models before and after it, and what may become of the rows."""

    before: str
    after: str
    rows: list[str] = field(default_factory=lambda: ROWS)
    edit: dict[str, str] = field(default_factory=dict)
    """The bodies that the author of the revision gives its functions."""
    marked: bool = False
    """True if the revision is marked as one that loses data."""
    named: str = ""
    """The words of `make migration` about the revision, which its file repeats."""
    lost: str = ""
    """The message about lost data when it is applied."""
    next: str = ""
    """The body of the revision after it, applied in the same run."""
    names: dict[str, str] = field(default_factory=dict)
    """Tables and columns that have a new name, and the old one."""
    values: dict[str, str] = field(default_factory=dict)
    """Values that are written in another way afterwards, and how."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By database, why nothing is applied."""

    def given(self, name: str, url: str) -> dict[str, Any]:
        """The case as `slices/migrator.py` reads it."""
        case = asdict(self)
        return {"name": name, "url": url, **{key: case[key] for key in FIELDS}}


def change(old: str, new: str, before: str = FAMILY, **more: Any) -> Case:
    """Models in which one thing changes."""
    assert old in before, old
    return Case(before=before, after=before.replace(old, new, 1 if new == CHECKED else -1), **more)


def longer(before: str, rows: list[str] = ROWS, **more: Any) -> Case:
    """A longer name: on SQLite the table is copied, and dropped."""
    return change("String(200)", "String(210)", before, rows=rows, **more)


def noted(value: str) -> list[str]:
    """The usual rows, with another note."""
    return [ROWS[0].replace("'first'", value).replace("'second'", value), ROWS[1]]


def referring(action: str) -> Case:
    """Children whose parents' table changes, and the action of their foreign key."""
    return longer(PARENTS + CHILDREN.format(reference=f'ForeignKey("parents.id"{action})'))


def retyped(old: str, new: str, value: str, values: dict[str, str] | None = None, **refused: str) -> Case:
    """A column of another type, and the value in it."""
    before = FAMILY.replace(NOTE, f"note: Mapped[{old}")
    return change(
        f"note: Mapped[{old}", f"note: Mapped[{new}", before, rows=noted(value), values=values or {}, refused=refused
    )


def renamed(old: str, new: str) -> dict[str, str]:
    """The bodies of a revision that renames a column of the parents, as docs/operations.md has them."""
    call = 'op.alter_column("parents", "{}", new_column_name="{}")'
    return {"upgrade": call.format(old, new), "downgrade": call.format(new, old)}


NOTE = "note: Mapped[str | None] = mapped_column(String(50))"
TEXT, INTEGER = "str | None] = mapped_column(String(50))", "int | None]"
TIME = "datetime | None] = mapped_column(Timestamp)"
NOT_GUESSED = "cannot be cast automatically"
ORPHAN = "row 2 of children refers to a row of parents that does not exist"
CHECKED = '"parents"\n    __table_args__ = (CheckConstraint("length(name) > 1", name="long_enough"),)'
CASES = {
    # Who refers to the table that changes.
    "cascade": referring(', ondelete="CASCADE"'),
    "set-null": referring(', ondelete="SET NULL"'),
    "set-default": referring(', ondelete="SET DEFAULT"'),
    "restrict": referring(', ondelete="RESTRICT"'),
    "no-action": referring(""),
    "itself": longer(NODES, ["INSERT INTO nodes (id, name, next_id) VALUES (1, 'one', NULL), (2, 'two', 1)"]),
    "many-to-many": longer(
        TAGS,
        [
            f"INSERT INTO posts {PAIR}",
            f"INSERT INTO tags {PAIR}",
            "INSERT INTO posts_tags (post_id, tag_id) VALUES (1, 1), (1, 2), (2, 2)",
        ],
    ),
    # What changes.
    "primary-key": change("mapped_column(BigInteger", "mapped_column(Integer"),
    "column-added": change(
        "    note:", '    more: Mapped[str] = mapped_column(String(9), server_default="x")\n    note:'
    ),
    "column-added-without-default": change(
        "    note:",
        "    more: Mapped[int]\n    note:",
        refused={
            "sqlite": "Cannot add a NOT NULL column",
            "postgres": 'column "more" of relation "parents" contains null',
        },
    ),
    "column-renamed": change(
        "note:",
        "remark:",
        edit=renamed("note", "remark"),
        names={"remark": "note"},
    ),
    "key-renamed": Case(
        before=FAMILY,
        after=FAMILY.replace("id: Mapped[int]", "key: Mapped[int]", 1).replace("parents.id", "parents.key"),
        edit=renamed("id", "key"),
        names={"key": "id"},
    ),
    "table-renamed": change(
        "parents",
        "elders",
        edit={"upgrade": 'op.rename_table("parents", "elders")', "downgrade": 'op.rename_table("elders", "parents")'},
        names={"elders": "parents"},
    ),
    "server-default": change("String(50)", 'String(50), server_default="none"'),
    "not-null": change("note: Mapped[str | None]", "note: Mapped[str]"),
    "not-null-with-nulls": change(
        "note: Mapped[str | None]",
        "note: Mapped[str]",
        rows=noted("NULL"),
        refused={"sqlite": "NOT NULL constraint failed: _alembic_tmp_parents.note", "postgres": "contains null values"},
    ),
    "unique-added": change("String(200)", "String(200), unique=True"),
    "unique-added-with-duplicates": change(
        "String(50)",
        "String(50), unique=True",
        rows=noted("'same'"),
        refused={
            "sqlite": "UNIQUE constraint failed: _alembic_tmp_parents.note",
            "postgres": "could not create unique index",
        },
    ),
    "unique-dropped": change(
        "String(200), unique=True", "String(200)", FAMILY.replace("String(200)", "String(200), unique=True")
    ),
    "index-added": change("String(200)", "String(200), index=True"),
    "check-kept": longer(FAMILY.replace('"parents"', CHECKED, 1)),
    "foreign-key-added": change("BigInteger())", f"{REFERENCE})", FAMILY.replace(REFERENCE, "BigInteger()")),
    "foreign-key-added-with-orphans": change(
        "BigInteger())",
        f"{REFERENCE})",
        FAMILY.replace(REFERENCE, "BigInteger()"),
        rows=[ROWS[0], ROWS[1].replace("(2, 2)", "(2, 9)")],
        refused={
            "sqlite": f"revision 0002 was refused and rolled back: {ORPHAN}",
            "postgres": "violates foreign key constraint",
        },
    ),
    "foreign-key-dropped": change(REFERENCE, "BigInteger()"),
    # Types: PostgreSQL asks for a USING, SQLite keeps each value that the new type cannot hold exactly.
    "text-to-time": retyped(TEXT, TIME, "'2026-01-02 03:04:05'", postgres=NOT_GUESSED),
    "text-to-integer": retyped(TEXT, INTEGER, "'12 apples'", postgres=NOT_GUESSED),
    "text-to-bytes": retyped(TEXT, "bytes | None]", "'text'", {"text": "b'text'"}, postgres=NOT_GUESSED),
    "bytes-to-time": retyped("bytes | None]", TIME, "'2026-01-02'", postgres=NOT_GUESSED),
    "integer-to-numeric": retyped(INTEGER, "Decimal | None] = mapped_column(Numeric(10, 0))", "12"),
    "text-to-shorter-text": retyped(TEXT, TEXT.replace("50", "3"), "'longer'", postgres="value too long"),
    # What a revision does by hand, in the same run as another one.
    "parents-deleted": longer(
        FAMILY,
        next='op.execute("DELETE FROM parents WHERE id = 2")',
        refused={"sqlite": f"a statement of a revision was refused and rolled back: {ORPHAN}"},
    ),
    "key-taken-by-another": longer(
        FAMILY,
        next='op.execute("DELETE FROM parents")\n    op.execute("INSERT INTO parents (id, name) VALUES (1, \'new\')")',
        refused={"sqlite": "a statement of a revision was refused and rolled back: row 1 of children"},
    ),
    "key-changed": longer(
        FAMILY,
        next='op.execute("UPDATE parents SET id = id + 1 WHERE id = 2")',
        refused={"sqlite": f"refused and rolled back: {ORPHAN}", "postgres": "violates foreign key constraint"},
    ),
    "parents-changed": longer(FAMILY, next='op.execute("UPDATE parents SET note = note WHERE id = 2")'),
    "orphan-inserted": longer(
        FAMILY,
        next='op.execute("INSERT INTO children (id, parent_id) VALUES (9, 9)")',
        refused={
            "sqlite": "revision 0003 was refused and rolled back: row 9 of children refers to a row of parents",
            "postgres": "violates foreign key constraint",
        },
    ),
}
