"""`python -m dev setup` writes `.env`; `python -m dev run COMMAND` runs a command with the servers that it needs."""

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from dotenv import dotenv_values

PLACEHOLDER = "change-me"
DATA = Path(".local")
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


def run(command: list[str]) -> int:
    """Run a command; for each server whose URL is set nowhere, start one below `.local/` and set its variable."""
    given = {**dotenv_values(".env"), **os.environ}
    with ExitStack() as stack:
        for found in iter_modules([str(SERVERS)]):
            server = import_module(f"dev.servers.{found.name}")
            if not given.get(server.VARIABLE):
                os.environ[server.VARIABLE] = stack.enter_context(server.serve(DATA / found.name))
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
    arguments = parser.parse_args()
    if arguments.command == "setup":
        return setup()
    if not arguments.rest:
        parser.error("run what? For example: python -m dev run python -m app")
    return run(arguments.rest)


if __name__ == "__main__":
    sys.exit(main())
