"""`python -m dev setup` keeps `.env` complete; `python -m dev run COMMAND` runs a command with its servers."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from threading import Thread, main_thread
from types import FrameType
from typing import Any

from dotenv import dotenv_values

from dev import env_file

PROJECT = Path(__file__).parents[1]
DATA = PROJECT / ".local"
SERVERS = Path(__file__).parent / "servers"
"""The servers that the service needs, from wheels: one module each, with `VARIABLE` and `serve(directory)`."""


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
        started = {server.VARIABLE: stack.enter_context(server.serve(DATA / name)) for name, server in _missing()}
        sys.stdout.write(json.dumps(started) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


def _given() -> dict[str, str | None]:
    return {**dotenv_values(os.environ.get("ENV_FILE", PROJECT / ".env")), **os.environ}


def _missing() -> list[tuple[str, Any]]:
    """Return the servers whose URL is set nowhere, by name."""
    servers = [(found.name, import_module(f"dev.servers.{found.name}")) for found in iter_modules([str(SERVERS)])]
    return [(name, server) for name, server in servers if not _given().get(server.VARIABLE)]


def run(command: list[str], *, parent: int | None = None) -> int:
    """Run a command; for each server whose URL is set nowhere, start one below `.local/` and set its variable.

    When the terminal closes, or `parent` has ended, the command is told to stop.
    """
    if env_file.TARGET.exists() and (lacking := env_file.missing()):
        sys.stderr.write(f".env lacks {', '.join(lacking)}: run `make setup`\n")
    stopped: list[int] = []
    process: subprocess.Popen[bytes] | None = None

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        if process and number != signal.SIGINT:  # a terminal sends that one to the command too
            process.terminate()

    # This process outlives the command: the servers stop last. `nohup` ignores SIGHUP.
    heard = [one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    if parent:
        Thread(target=_watch, args=(parent,), daemon=True).start()
    try:
        with ExitStack() as stack:
            for name, server in _missing():
                if not stopped:
                    os.environ[server.VARIABLE] = stack.enter_context(server.serve(DATA / name))
            if stopped:
                return 128 + stopped[0]
            process = subprocess.Popen(command)  # noqa: S603  # the developer's own command
            if stopped:  # by a signal that came before `process` was set
                process.terminate()
            status = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _watch(process: int) -> None:
    """Wait until a process has ended, then stop this one as a closed terminal does."""
    with suppress(ProcessLookupError):
        while True:
            os.kill(process, 0)
            time.sleep(1)
    signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="write .env with random secrets, or add what it lacks")
    runner = commands.add_parser("run", help="run a command with the servers that it needs")
    runner.add_argument("--parent", type=int, metavar="PID", help="stop the command when this process has ended")
    runner.add_argument("rest", nargs=argparse.REMAINDER, help="the command")
    commands.add_parser("hold", help="serve until standard input ends")
    arguments = parser.parse_args()
    if arguments.command == "setup":
        return env_file.setup()
    if arguments.command == "hold":
        return hold()
    if not arguments.rest:
        parser.error("run what? For example: python -m dev run python -m app")
    return run(arguments.rest, parent=arguments.parent)


if __name__ == "__main__":
    sys.exit(main())
