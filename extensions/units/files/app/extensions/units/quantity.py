"""Quantities: numbers that know their unit. `Mass = Annotated[Quantity, Unit("kg")]` is the type of a field."""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from app.extensions.units.conversion import UNIT, UnitIncompatible, UnitUnknown, convert

LONGEST = 64
"""The most characters of a quantity that is a text."""
TEXT = r"^([+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?)(?: ?(" + UNIT + "))?$"
_TEXT = re.compile(TEXT)


class Quantity(float):
    """A number of `unit`: a float, so that it computes and sorts, and a column stores it, as one."""

    unit: str

    def __new__(cls, value: float, unit: str) -> "Quantity":
        made = super().__new__(cls, value)
        made.unit = unit
        return made

    def to(self, unit: str) -> "Quantity":
        """Return the same in another unit, or raise `UnitUnknown` or `UnitIncompatible`."""
        return Quantity(float(convert(Decimal(repr(float(self))), self.unit, unit)), unit)


@dataclass(frozen=True)
class Unit:
    """The unit of a field: a number is one of `base`, and a text may name any unit of the same kind.

    `answer` is the unit of answers, if not `base`.
    """

    base: str
    answer: str | None = None
    declared: ClassVar[set[str]] = set()
    """The units of all fields, for the check at the start."""

    def __post_init__(self) -> None:
        self.declared.update((self.base, self.answer or self.base))

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        shown = core_schema.plain_serializer_function_ser_schema(self._show, when_used="json")
        return core_schema.no_info_plain_validator_function(self._read, serialization=shown)

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        if handler.mode == "serialization":
            return {"type": "number", "description": f"A number of {self.answer or self.base}."}
        text = {"type": "string", "maxLength": LONGEST, "pattern": TEXT}
        description = f"A number of {self.base}, or a text with any unit of the same kind, such as 2.5 {self.base}."
        return {"anyOf": [{"type": "number"}, text], "description": description}

    def _read(self, value: Any) -> Quantity:
        number, unit = self._taken_apart(value)
        try:
            read = float(convert(number, unit, self.base))
        except UnitUnknown as error:
            raise PydanticCustomError("unit_unknown", "names no unit that is known") from error
        except UnitIncompatible as error:
            said = "must be in {base}, or in a unit of the same kind"
            raise PydanticCustomError("unit_incompatible", said, {"base": self.base}) from error
        if not math.isfinite(read):
            raise PydanticCustomError("quantity_unbounded", "is beyond all bounds")
        return Quantity(read, self.base)

    def _taken_apart(self, value: Any) -> tuple[Decimal, str]:
        if isinstance(value, Quantity):
            return Decimal(repr(float(value))), value.unit
        if isinstance(value, float | Decimal) or type(value) is int:  # and no bool
            return Decimal(repr(value)) if isinstance(value, float) else Decimal(value), self.base
        found = _TEXT.fullmatch(value) if isinstance(value, str) and len(value) <= LONGEST else None
        if not found:
            said = "must be a number, or a text such as 2.5 {base}"
            raise PydanticCustomError("quantity_invalid", said, {"base": self.base})
        return Decimal(found[1]), found[2] or self.base

    def _show(self, value: float) -> float:
        return float(Quantity(value, self.base).to(self.answer or self.base))
