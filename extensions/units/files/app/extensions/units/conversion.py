"""Conversion between units by pint, which is loaded lazily and gets checked texts only."""

import re
from decimal import Decimal
from functools import cache
from threading import Lock
from typing import Any

from app.core.errors import ValidationFailed

NAME = r"[A-Za-zµμΩ°%]{1,24}(?:_[A-Za-z]{1,24}){0,2}"
POWER = r"(?:(?:\^|\*\*)-?[1-9])?"
UNIT = f"{NAME}{POWER}(?:[*/]{NAME}{POWER})" + "{0,3}"
"""`kg`, `m/s`, `kg*m^2/s^2`: names and small powers, and no expressions."""

_UNIT = re.compile(UNIT)
_MOST = 2000
_seen: set[tuple[str, str]] = set()
_lock = Lock()


class UnitUnknown(ValidationFailed):
    """The unit does not exist."""

    code = "unit_unknown"
    message = "names no unit that is known"


class UnitIncompatible(ValidationFailed):
    """The unit measures something else."""

    code = "unit_incompatible"
    message = "is in a unit that measures something else"


@cache
def registry() -> Any:
    """Return the table of units. Its numbers are decimals: 2.3 t are 2300 kg, not 2299.9999999999995."""
    from pint import UnitRegistry  # half a second that a service without units saves

    return UnitRegistry(non_int_type=Decimal)


def convert(value: Decimal, unit: str, target: str) -> Decimal:
    """Return the value in another unit, or raise `UnitUnknown` or `UnitIncompatible`."""
    if unit == target:
        return value
    with _lock:  # pint is not thread-safe
        _forget((unit, target))
        table = registry()
        parsed = [_parsed(table, name) for name in (unit, target)]
        try:
            return Decimal(table.Quantity(value, parsed[0]).to(parsed[1]).magnitude)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise UnitIncompatible from error


def check(unit: str) -> None:
    """Raise `UnitUnknown` if the unit does not exist."""
    with _lock:
        _parsed(registry(), unit)


def _parsed(table: Any, unit: str) -> Any:
    if len(unit) > 100 or not _UNIT.fullmatch(unit):
        raise UnitUnknown
    try:
        return table.parse_units(unit)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise UnitUnknown from error


def _forget(pair: tuple[str, str]) -> None:
    """Bound the memory: pint stores every unit that it was ever asked for."""
    if pair not in _seen and len(_seen) >= _MOST:
        _seen.clear()
        registry.cache_clear()
    _seen.add(pair)
