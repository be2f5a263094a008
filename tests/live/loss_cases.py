"""Revisions that lose rows, values or rules, and those that look like it and lose nothing."""

from tests.live.migration_cases import (
    CHECKED,
    FAMILY,
    INTEGER,
    NOT_GUESSED,
    NOTE,
    TEXT,
    TIME,
    Case,
    change,
    longer,
    noted,
    retyped,
)


def both(why: str) -> dict[str, str]:
    """The same refusal on both databases."""
    return {"sqlite": why, "postgres": why}


def numeric(digits: int, scale: int) -> str:
    """A column of numbers."""
    return f"Decimal | None] = mapped_column(Numeric({digits}, {scale}))"


DROPPED = "revision 0002 drops the column parents.note, which has values: if that is meant, set `loses_data = True` in "
RENAMED = (
    "drops the column parents.note and adds remark: if you renamed it, write "
    'op.alter_column("parents", "note", new_column_name="remark") instead'
)
TABLE_DROPPED = "drops the table children, which has rows"
BLOCK = "\n    with op.get_context().autocommit_block():\n        "
IN_BLOCK = f"a revision with an autocommit block {TABLE_DROPPED}: do that in a revision of its own"
ALTERED = "revision 0002 alters values of parents.note, which becomes "
SHORT = """op.execute("INSERT INTO parents (id, name) VALUES (9, 'x')")
    op.execute("DELETE FROM parents WHERE id = 9")"""
AGAIN = """with op.batch_alter_table("parents") as batch:
        batch.drop_column("note")
        batch.add_column(sa.Column("note", sa.String(50)))"""
MADE = 'op.execute("CREATE TABLE more (id integer)")\n    op.drop_table("more")'
CUT = """with op.batch_alter_table("parents") as batch:
        batch.alter_column(
            "note", type_=sa.String(3), existing_type=sa.String(50), postgresql_using="left(note, 3)"
        )"""
LEFT = CUT.replace("String(3)", "String(60)").replace('3)"', '1)"')
KIND = 'str | None] = mapped_column(Enum("first", "second", native_enum=False, create_constraint=True, name="kind"))'
TRUTH = 'bool | None] = mapped_column(Boolean(create_constraint=True, name="truth"))'
FLOAT, BIG = "float | None] = mapped_column(Float)", "int | None] = mapped_column(BigInteger)"
CASES = {
    # Values that fit, and values that do not.
    "text-to-text-that-holds-it": retyped(TEXT, TEXT.replace("50", "6"), "'longer'"),
    "text-cut-by-hand": change("String(50)", "String(3)", edit={"upgrade": CUT}, refused={"postgres": ALTERED}),
    "text-cut-though-the-type-holds-it": change(
        "String(50)", "String(60)", edit={"upgrade": LEFT}, refused={"postgres": ALTERED}
    ),
    "numeric-narrowed": retyped(numeric(12, 4), numeric(10, 2), "1.2345", postgres=f"{ALTERED}NUMERIC(10, 2)"),
    "numeric-to-numeric-that-holds-it": retyped(numeric(12, 4), numeric(10, 2), "1.5", {"1.5000": "1.50"}),
    "time-to-date": retyped(TIME, "date | None]", "'2026-01-02 03:04:05'", postgres=f"{ALTERED}DATE"),
    "text-to-numeric": retyped(TEXT, numeric(30, 20), "'12.50'", {"12.50": "12.5"}, postgres=NOT_GUESSED),
    "text-of-many-digits-to-numeric": retyped(
        TEXT, numeric(30, 20), "'1234567890.12345678'", sqlite=f"{ALTERED}NUMERIC(30, 20)", postgres=NOT_GUESSED
    ),
    "text-with-zeros-to-integer": retyped(TEXT, INTEGER, "'007'", sqlite=f"{ALTERED}INTEGER", postgres=NOT_GUESSED),
    "integer-to-float": retyped(BIG, FLOAT, "9007199254740993", sqlite=ALTERED, postgres=ALTERED),
    "integer-to-float-that-holds-it": retyped(BIG, FLOAT, "12", {"12": "12.0"}),
    "float-to-text": change(
        f"note: Mapped[{FLOAT}",
        NOTE,
        FAMILY.replace(NOTE, f"note: Mapped[{FLOAT}"),
        rows=noted("0.1e0 + 0.2e0"),
        edit={"downgrade": "pass"},
        refused={"sqlite": ALTERED},
    ),
    # What autogenerate drops, with a word and without.
    "column-dropped": change(f"    {NOTE}\n", "", named="drops the column parents.note", refused=both(DROPPED)),
    "column-dropped-and-added": change("note:", "remark:", named=RENAMED, refused=both(DROPPED)),
    "column-dropped-and-added-again": Case(before=FAMILY, after=FAMILY, edit={"upgrade": AGAIN}, refused=both(DROPPED)),
    "column-dropped-with-a-word": change(
        f"    {NOTE}\n", "", marked=True, lost="the revision drops the column parents.note, which has values"
    ),
    "column-without-values-dropped": change(f"    {NOTE}\n", "", rows=noted("NULL")),
    "tables-without-rows": change(f"    {NOTE}\n", "", rows=[], next=MADE),
    "table-dropped": longer(
        FAMILY, next='op.drop_table("children")', refused=both(f"revision 0003 {TABLE_DROPPED}: if that is meant")
    ),
    "table-dropped-before-a-block": longer(
        FAMILY, next=f'op.drop_table("children"){BLOCK}pass', refused=both(IN_BLOCK)
    ),
    "table-dropped-in-a-block": longer(FAMILY, next=f'pass{BLOCK}op.drop_table("children")', refused=both(IN_BLOCK)),
    "orphan-before-a-block": longer(
        FAMILY,
        next=f'op.execute("INSERT INTO children (id, parent_id) VALUES (9, 9)"){BLOCK}pass',
        refused={"sqlite": "an autocommit block was refused and rolled back", "postgres": "violates foreign key"},
    ),
    "check-added": change('"parents"', CHECKED),
    "check-added-that-fails": change(
        '"parents"',
        CHECKED.replace("> 1", "> 3"),
        refused={"sqlite": "CHECK constraint failed", "postgres": "is violated by some row"},
    ),
    "check-removed": change(
        CHECKED,
        '"parents"',
        FAMILY.replace('"parents"', CHECKED, 1),
        named="drops the constraint ck_parents_long_enough of parents",
        next=SHORT,
    ),
    "check-of-a-type": longer(FAMILY.replace(NOTE, f"note: Mapped[{KIND}")),
    "check-of-a-truth": longer(FAMILY.replace(NOTE, f"note: Mapped[{TRUTH}"), rows=noted("true")),
    "type-narrowed": change(
        "String(200)", "String(20)", named="changes parents.name from VARCHAR(200) to VARCHAR(20), which may not hold"
    ),
}
