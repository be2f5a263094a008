"""The program's command line: `groundwork new`, or `python -m groundwork new`."""

import argparse
import os
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import yaml

from groundwork import source
from groundwork.errors import Refused, refusing
from groundwork.new import new


class Parser(argparse.ArgumentParser):
    """An argument parser that prints one line for a mistake, not the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Print the mistake and exit with status 2, as argparse does."""
        self.exit(2, f"{self.prog}: {message}: see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all arguments."""
    program = Parser(prog="groundwork", description="FastAPI services that keep taking their template's updates.")
    program.add_argument("--version", action="version", version=version("groundwork"))
    commands = program.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    scaffold = commands.add_parser("new", help="answer the questions, get a service")
    scaffold.add_argument(
        "destination", nargs="?", type=Path, metavar="DEST", help="a new folder (default: ./ and the slug)"
    )
    scaffold.add_argument("--defaults", action="store_true", help="ask nothing: use defaults for all other answers")
    scaffold.add_argument(
        "--data", "-d", action="append", default=[], metavar="QUESTION=ANSWER", help="an answer, which is not asked"
    )
    scaffold.add_argument("--data-file", type=Path, metavar="FILE", help="answers as YAML; --data overrides them")
    scaffold.add_argument("--template", metavar="URL", help="another template: a URL or the path of a checkout")
    scaffold.add_argument(
        "--vcs-ref", metavar="VERSION", help="its version (default: the newest release; HEAD: the current commit)"
    )
    scaffold.add_argument(
        "--beside", action="store_true", help="without DEST: beside this checkout, not in this folder"
    )
    scaffold.add_argument("--no-git", action="store_true", help="no repository and no first commit")
    return program


def answers(pairs: list[str], file: Path | None) -> dict[str, Any]:
    """Return the answers of --data and --data-file; the template's guards check them.

    Raises:
        Refused: a pair without `=`, or a file that is not there or no mapping.
    """
    given: dict[str, Any] = {}
    if file:
        if not file.is_file():
            raise Refused(f"there is no file {file}: --data-file takes a YAML file of answers")
        with refusing():
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            raise Refused(f"{file} holds no answers: write one `question: answer` a line")
        given.update({str(name): value for name, value in loaded.items()})
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise Refused(f"--data {pair} has no answer: write --data {pair}=answer")
        given[name] = value
    return given


def scaffold(arguments: argparse.Namespace) -> None:
    """Run `new` and print the next steps."""
    checkout = source.checkout()
    made = new(
        arguments.destination,
        template=arguments.template or source.default(),
        ref=arguments.vcs_ref,
        folder=checkout.parent if arguments.beside and checkout else Path(),
        data=answers(arguments.data, arguments.data_file),
        defaults=arguments.defaults,
        repository=not arguments.no_git,
    )
    print(f"\n{made.path.name} is ready, from Groundwork {made.version}. Next:\n")
    there = os.path.relpath(made.path)
    # After `make -C`, a relative path to another folder would mislead.
    there = str(made.path.resolve()) if there.startswith(os.pardir) else there
    print(f"  cd {shlex.quote(there)}\n  make setup\n  make dev\n")


def main() -> int:
    """Run one command. Exit status: 0 done, 1 refused and nothing done, 2 wrong command line."""
    arguments = parser().parse_args()
    try:
        scaffold(arguments)
    except Refused as refusal:
        print(f"groundwork: {refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
