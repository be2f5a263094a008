"""`python -m dev setup` writes `.env`; `python -m dev run COMMAND` runs a command with the servers that it needs."""

import argparse
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from dotenv import dotenv_values

PLACEHOLDER = "change-me"
PROJECT = Path(__file__).parents[1]
DATA = PROJECT / ".local"
SERVERS = Path(__file__).parent / "servers"
"""The servers that the service needs, from wheels: one module each, with `VARIABLE` and `serve(directory)`."""


def setup() -> int:
    """Write `.env` with random secrets, unless there is one."""
    target = Path(".env")
    if target.exists():
        sys.stdout.write(".env is there already and stays as it is\n")
        return 0
    lines = Path(".env.example").read_text(encoding="utf-8").splitlines()
    content = "".join(_with_secret(line) + "\n" for line in lines)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)
    sys.stdout.write("wrote .env with secrets of its own\n")
    return 0


def _with_secret(line: str) -> str:
    variable = re.match(r"(# )?\w+=", line)  # a sentence may speak of the placeholder
    return line.replace(PLACEHOLDER, secrets.token_urlsafe(32)) if variable else line


_HOLDERS: "list[subprocess.Popen[str]]" = []


def serve_development() -> None:
    """Start the servers until this process ends, as `run` does: for `fastapi dev`, `uvicorn`, alembic and debuggers.

    A process of its own holds them until its standard input closes, however this one ends.
    """
    if _given().get("SERVICE__ENVIRONMENT") != "development":
        return
    with suppress(ModuleNotFoundError):  # without development dependencies: the settings name what is missing
        if _missing():
            command = [sys.executable, "-m", "dev", "hold"]
            holder = subprocess.Popen(  # noqa: S603  # our own command
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=PROJECT
            )
            _HOLDERS.append(holder)  # collected, it would close the pipe
            os.environ |= json.loads((holder.stdout and holder.stdout.readline()) or "{}")


def hold() -> int:
    """Start the servers, write their variables, and stop them when standard input ends."""
    with ExitStack() as stack:
        sys.stdout.write(json.dumps(_start_missing(stack)) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


def _given() -> dict[str, str | None]:
    return {**dotenv_values(os.environ.get("ENV_FILE", PROJECT / ".env")), **os.environ}


def _missing() -> list[tuple[str, Any]]:
    """Return the servers whose URL is set nowhere, by name."""
    servers = [(found.name, import_module(f"dev.servers.{found.name}")) for found in iter_modules([str(SERVERS)])]
    return [(name, server) for name, server in servers if not _given().get(server.VARIABLE)]


def _start_missing(stack: ExitStack) -> dict[str, str]:
    return {server.VARIABLE: stack.enter_context(server.serve(DATA / name)) for name, server in _missing()}


def run(command: list[str]) -> int:
    """Run a command; for each server whose URL is set nowhere, start one below `.local/` and set its variable."""
    with ExitStack() as stack:
        os.environ |= _start_missing(stack)
        process = subprocess.Popen(command)  # noqa: S603  # the developer's own command
        # The command is told to stop and this process waits for it: the servers stop last.
        interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
        terminated = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
        try:
            status = process.wait()
        finally:
            signal.signal(signal.SIGINT, interrupted)
            signal.signal(signal.SIGTERM, terminated)
    return status if status >= 0 else 128 - status


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="write .env with random secrets")
    runner = commands.add_parser("run", help="run a command with the servers that it needs")
    runner.add_argument("rest", nargs=argparse.REMAINDER, help="the command")
    commands.add_parser("hold", help="serve until standard input ends")
    arguments = parser.parse_args()
    if arguments.command == "setup":
        return setup()
    if arguments.command == "hold":
        return hold()
    if not arguments.rest:
        parser.error("run what? For example: python -m dev run python -m app")
    return run(arguments.rest)


if __name__ == "__main__":
    sys.exit(main())
