"""The refusals of the program: one line with the value and the remedy, never a traceback."""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager

from copier.errors import CopierAnswersInterrupt, CopierError, UnsafeTemplateError
from plumbum import ProcessExecutionError
from yaml import YAMLError


class Refused(Exception):
    """A refusal: nothing was done. The message is one line: what happened, which value, what to do."""


def plain(message: str) -> str:
    """Return a message of Copier in one line, without the prefix that Jinja adds to a guard's message."""
    if guard := re.fullmatch(r"'dict object' has no attribute (?P<text>['\"].*)", message.strip(), re.DOTALL):
        message = str(ast.literal_eval(guard["text"]))
    return " ".join(message.split())


@contextmanager
def refusing() -> Iterator[None]:
    """Turn everything that Copier, git and YAML raise on wrong input into `Refused`."""
    try:
        yield
    except (CopierAnswersInterrupt, KeyboardInterrupt):
        raise Refused("stopped, and nothing was written") from None
    except UnsafeTemplateError as error:
        raise Refused(f"the template wants to run code, which Groundwork's never does: {plain(str(error))}") from None
    except ProcessExecutionError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()] or ["without a reason"]
        raise Refused(f"git failed: {plain(lines[-1].removeprefix('fatal: '))}") from None
    except (CopierError, YAMLError, ValueError, OSError) as error:
        raise Refused(plain(str(error))) from None
