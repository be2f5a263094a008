"""What the program says when it refuses: one line with the value and the way out, and never a traceback."""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager

from copier.errors import CopierAnswersInterrupt, CopierError, UnsafeTemplateError
from plumbum import ProcessExecutionError
from yaml import YAMLError


class Refused(Exception):
    """Nothing was done. The message is one line: what, which value, what to do."""


def plain(message: str) -> str:
    """A message of Copier's in one line, without the prefix that Jinja puts before what a guard says."""
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
        raise Refused(
            f"the template wants to run code of its own, and none of Groundwork's does: {plain(str(error))}"
        ) from None
    except ProcessExecutionError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()] or ["it did not say why"]
        raise Refused(f"git failed: {plain(lines[-1].removeprefix('fatal: '))}") from None
    except (CopierError, YAMLError, ValueError, OSError) as error:
        raise Refused(plain(str(error))) from None
