"""The target of the load: a service that answers, the callers of what it has, and what they send with each request."""
# locust is in a separate environment (requirements.txt), which `make check` does not see.
# mypy: disable-error-code="import-not-found, misc, untyped-decorator"

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NoReturn
from urllib.parse import urlsplit

from locust import FastHttpUser, events, task
from locust.env import Environment

READY = "/health/ready"
GONE = 3


def header(text: str) -> tuple[str, str]:
    """A header as curl has it."""
    name, _, value = text.partition(":")
    if not name.strip() or not value.strip():
        raise ArgumentTypeError("a header looks like Name: value")
    return name.strip(), value.strip()


@events.init_command_line_parser.add_listener
def add_flags(parser: ArgumentParser) -> None:
    """The requests that the callers send."""
    if not os.environ.get("LOAD_HEADER"):
        os.environ.pop("LOAD_HEADER", None)  # a pipeline passes an unset secret as an empty one
    flags = parser.add_argument_group("Target")
    flags.add_argument("--page", action="append", help="A path to ask for, more than once for several.")
    flags.add_argument(
        "--header", type=header, action="append", env_var="LOAD_HEADER", help='Sent with each request: "Name: value".'
    )


@events.init.add_listener
def look_first(environment: Environment, **_: Any) -> None:
    """Stop before the first request where nothing answers, and leave out callers of what the service does not have."""
    host, options = environment.host or "", environment.parsed_options
    if options is None:
        return
    users = [user for user in environment.user_classes if user is not Pages or options.page]
    try:
        if (status := ask(host, READY)) != 200:
            stop(f"{host}{READY} answers {status}: its log says why, or name another service with --host")
        for user, needed in [(user, getattr(user, "needs", READY)) for user in users]:
            if ask(host, needed) == 404:
                sys.stderr.write(f"{user.__name__} is left out: {host}{needed} is not there\n")
                users.remove(user)
    except (HTTPException, OSError, ValueError) as error:
        stop(f"{host} does not answer ({error}): start it with `make run`, or name another with --host")
    environment.user_classes = users or [Pages]
    for kind in environment.user_classes:
        if issubclass(kind, FastHttpUser):
            kind.default_headers = dict(options.header or [])


def ask(host: str, path: str) -> int:
    """The status of a page."""
    url = urlsplit(host)
    kinds = {"http": HTTPConnection, "https": HTTPSConnection}
    if url.scheme not in kinds or not url.hostname:
        raise ValueError("a host looks like https://staging.example.com")
    connection = kinds[url.scheme](url.hostname, url.port, timeout=10)
    try:
        connection.request("GET", path)
        return int(connection.getresponse().status)
    finally:
        connection.close()


def stop(message: str) -> NoReturn:
    """End without a load."""
    sys.stderr.write(f"load test not run: {message}\n")
    sys.exit(GONE)


class Pages(FastHttpUser):
    """Asks for the pages that are named, and for readiness where there are neither pages nor other callers."""

    @task
    def read(self) -> None:
        """Each page once."""
        for page in self.environment.parsed_options.page or [READY]:
            self.client.get(page)
