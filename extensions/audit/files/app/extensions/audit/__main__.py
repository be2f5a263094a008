"""`python -m app.extensions.audit`: `verify` the records, or record that they were `restored`."""

import argparse
import fcntl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.core.telemetry import SecurityEvent
from app.extensions.audit.chain import START, Chain, Head, opened, read_head, record_of
from app.extensions.audit.settings import AuditSettings


class Tampered(Exception):
    """The chain was changed."""


def verify(files: Sequence[Path], key: bytes, *, after: Head = START, known: Sequence[Head] = ()) -> Head:
    """Read files, the oldest first, and return the end of their chain.

    `after` is the end of the chain before these files; `known` are ends that were stored elsewhere and have to be in
    the files. The last file has to end where its head file says, or with a known end.

    Raises:
        Tampered: a record was changed, removed, added or moved.
        OSError: a file cannot be read.
    """
    noted = _noted(files[-1], key)
    head, missing = after, {*known, *noted} - {START, after}
    for file in files:
        for place, line in _lines(file):
            try:
                found, previous = opened(line, key)
            except (ValueError, LookupError) as error:
                raise Tampered(f"{place}: this is no record that was written ({error})") from error
            if (found.number, previous) != (head.number + 1, head.seal):
                hint = ": give the files before this one, or --after" if head == START else ""
                raise Tampered(f"{place}: record {found.number} does not follow record {head.number}{hint}")
            head = found
            missing.discard(head)
    if missing:
        raise Tampered(f"the chain ends with record {head.number} and does not have {', '.join(map(str, missing))}")
    if not noted and head not in known:
        raise Tampered(f"{files[-1]} ends with {head}, and no sealed .head and no --known says that this is its end")
    return head


def _noted(file: Path, key: bytes) -> list[Head]:
    """Return the end in the head file, if there is one with a seal."""
    try:
        with Chain(file, key).beside.open("rb") as beside:
            fcntl.flock(beside, fcntl.LOCK_SH)
            head, sealed = read_head(beside.fileno(), key)
            return [head] if sealed else []
    except FileNotFoundError:
        return []


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each line with its place, without an unfinished last one."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):
                yield f"{file}:{number}", line


def restored(chain: Chain, key: bytes) -> Head:
    """Record that a backup of the records was restored, and return the new end of the chain.

    Raises:
        Tampered: the restored records are not as they were written.
        OSError: the file cannot be read or written.
    """
    chain.path.touch(0o640)  # the backup may be older than the first record
    end: Head | None = None  # earlier files may be archived, so the first record is taken as it is
    for place, line in _lines(chain.path):
        try:
            found, previous = opened(line, key)
        except (ValueError, LookupError) as error:
            raise Tampered(f"{place}: this is no record that was written ({error})") from error
        if end and (found.number, previous) != (end.number + 1, end.seal):
            raise Tampered(f"{place}: record {found.number} does not follow record {end.number}")
        end = found
    aside = sorted(chain.path.parent.glob(f"{chain.path.name}.before-*"))
    event = SecurityEvent("audit_trail_restored", subject=str(aside[-1]) if aside else "")
    return chain.restored(record_of(event))


def main() -> int:
    """Run the command line. Exit status: 0 for an unchanged chain, 1 for a changed one, 2 if it cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m app.extensions.audit", description="The audit log.")
    commands = parser.add_subparsers(dest="command", required=True)
    verifier = commands.add_parser("verify", help="verify the records")
    verifier.add_argument("files", nargs="*", type=Path, help="the oldest first; default: the current file")
    verifier.add_argument("--after", type=head, default=START, metavar="HEAD", help="the end of the files before these")
    verifier.add_argument(
        "--known",
        type=head,
        action="append",
        default=[],
        metavar="HEAD",
        help="an end that was stored elsewhere, and has to be in them",
    )
    commands.add_parser("restored", help="record that a backup of the current file was restored")
    arguments = parser.parse_args()
    try:
        settings = load([AuditSettings]).of(AuditSettings)
        if arguments.command == "restored":
            new = restored(Chain(settings.path, settings.sealing_key), settings.sealing_key)
            sys.stdout.write(f"the restore is recorded; the end is\n{new}\n")
            return 0
        files = arguments.files or [settings.path]
        end = verify(files, settings.sealing_key, after=arguments.after, known=arguments.known)
    except Tampered as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ConfigurationInvalid, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{end.number - arguments.after.number} records are as they were written; the end is\n{end}\n")
    if arguments.known:
        sys.stdout.write(f"they have the known ends {', '.join(map(str, arguments.known))}\n")
    return 0


def head(text: str) -> Head:
    """Parse an end as it is printed and logged."""
    number, _, seal = text.partition(":")
    if not number.isdigit() or len(seal) != len(START.seal):
        raise argparse.ArgumentTypeError(f"{text} does not look like 17:0123...")
    return Head(int(number), seal)


if __name__ == "__main__":
    sys.exit(main())
