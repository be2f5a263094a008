"""The command line: what may be asked for."""

import argparse

from ops.backups import restoring


def parser() -> argparse.ArgumentParser:
    """What may be written behind `python -m ops`."""
    made = argparse.ArgumentParser(prog="python -m ops", description="Backups of the service's data.")
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("backup", help="make one, check it, send it to the stores, delete what is old")
    commands.add_parser("list", help="show those that there are, newest first")
    commands.add_parser("prune", help="delete what is old")
    commands.add_parser("key", help="make a key for BACKUPS__KEY")
    for name, about in (
        ("verify", "read one whole"),
        ("restore", "put one in the place of what is there; the service has to be stopped"),
        ("drill", "restore one beside the database, compare it row by row, and throw it away"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("id", nargs="?", default=restoring.NEWEST, help="which; left out, the newest")
        if name == "verify":
            command.add_argument("--all", action="store_true", help="all of this machine")
        if name == "restore":
            command.add_argument("--yes", action="store_true", help="do not ask")
    return made
