"""`python -m app.extensions.audit verify`: say whether the trail is what was written."""

import argparse
import sys
from pathlib import Path

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.audit.records import START, Head
from app.extensions.audit.settings import AuditSettings
from app.extensions.audit.verify import Tampered, verify


def main() -> int:
    """Read the command line.

    Returns:
        0 where every record is there as it was written, 1 where not, 2 where that cannot be found out.
    """
    parser = argparse.ArgumentParser(prog="python -m app.extensions.audit", description="The audit trail.")
    commands = parser.add_subparsers(dest="command", required=True)
    verifier = commands.add_parser("verify", help="read the trail, and say whether it is what was written")
    verifier.add_argument(
        "files", nargs="*", type=Path, help="the oldest first; without any, the one that is written to"
    )
    verifier.add_argument("--after", type=head, default=START, metavar="HEAD", help="how the files before these ended")
    verifier.add_argument(
        "--known",
        type=head,
        action="append",
        default=[],
        metavar="HEAD",
        help="an end that was noted earlier, elsewhere",
    )
    arguments = parser.parse_args()
    try:
        settings = load([AuditSettings]).of(AuditSettings)
        files = arguments.files or [settings.path]
        end = verify(files, settings.sealing_key, after=arguments.after, known=arguments.known)
    except Tampered as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ConfigurationInvalid, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{end.number - arguments.after.number} records are as they were written; the end is\n{end}\n")
    return 0


def head(text: str) -> Head:
    """An end as it is printed and logged."""
    number, _, seal = text.partition(":")
    if not number.isdigit() or len(seal) != len(START.seal):
        raise argparse.ArgumentTypeError(f"{text} does not look like 17:0123...")
    return Head(int(number), seal)


if __name__ == "__main__":
    sys.exit(main())
