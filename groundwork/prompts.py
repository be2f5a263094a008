"""The terminal while a service is made: defaults that typing replaces, and progress."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import questionary
from questionary.prompts import AVAILABLE_PROMPTS


@contextmanager
def replaceable_defaults() -> Iterator[None]:
    """Select the default of each text question: typing replaces it, an arrow key keeps it, Enter takes it."""
    before = dict(AVAILABLE_PROMPTS)
    AVAILABLE_PROMPTS.update(text=_selected, input=_selected)
    try:
        yield
    finally:
        AVAILABLE_PROMPTS.update(before)


def _selected(message: str, default: str = "", **options: Any) -> questionary.Question:
    question = questionary.text(message, default=default, **options)
    buffer = question.application.current_buffer
    if default:
        buffer.cursor_position = 0
        buffer.start_selection()
        if buffer.selection_state:
            buffer.selection_state.enter_shift_mode()  # as if selected with Shift and the arrow keys
        buffer.cursor_position = len(default)
    return question


@contextmanager
def progress(folder: Path) -> Iterator[None]:
    """Show at a terminal how many files are written, once the questions are answered."""
    if not sys.stderr.isatty():
        yield
        return
    done = Event()

    def show() -> None:
        while not done.wait(0.3):
            if files := sum(path.is_file() for path in folder.rglob("*")):
                sys.stderr.write(f"\rwriting the service: {files} files ")
                sys.stderr.flush()

    thread = Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        sys.stderr.write("\n")
