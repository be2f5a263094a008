"""`python -m app.extensions.api_keys CLIENT`: create a key, show it once, and print its stored form."""

import argparse
import sys
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from app.extensions.api_keys.keyring import make


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m app.extensions.api_keys", description="Make a key for a client.")
    parser.add_argument("client", help="whose key it is, for example billing")
    parser.add_argument("--scope", action="append", default=[], help="a scope of the key; may be given several times")
    parser.add_argument("--days", type=days_from_now, metavar="DAYS", help="days until it expires; without it, never")
    arguments = parser.parse_args()
    try:
        key, stored = make(arguments.client, arguments.scope, arguments.days)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        parser.error(f"{mistake['loc'][0]}: {mistake['msg']}")
    sys.stderr.write("The key, for its client alone. It is shown this once:\n")
    sys.stdout.write(f"{key}\n")
    sys.stderr.write("What the service stores, a line of API_KEYS__KEYS:\n")
    sys.stdout.write(f"{stored.model_dump_json(exclude_none=True)}\n")
    return 0


def days_from_now(text: str) -> datetime:
    """Return the time after this number of days."""
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        expires = now + timedelta(days=int(text))
    except (ValueError, OverflowError):
        expires = now
    if expires <= now:
        raise argparse.ArgumentTypeError(f"{text} is not a number of days from 1")
    return expires


if __name__ == "__main__":
    sys.exit(main())
