"""The thresholds of a load test: their flags, and the verdict in one line and an exit status."""
# locust is in a separate environment (requirements.txt), which `make check` does not see.
# mypy: disable-error-code="import-not-found, misc, no-untyped-call, untyped-decorator"

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

MISSED = 1


def from_zero(text: str) -> float:
    """A number that makes sense as a threshold."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ArgumentTypeError(f"{text} is no number from 0 on")
    return number


@events.init_command_line_parser.add_listener
def add_flags(parser: ArgumentParser) -> None:
    """The thresholds as flags; locust.conf has their values."""
    flags = parser.add_argument_group("Thresholds")
    flags.add_argument("--min-rate", type=from_zero, default=1000.0, help="Requests a second, at least.")
    flags.add_argument("--max-p95", type=from_zero, default=200.0, help="Milliseconds for 95 of 100 requests.")
    flags.add_argument("--max-errors", type=from_zero, default=0.0, help="Requests of 100 that may fail.")


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Hold what was measured against the thresholds; it is said below the tables, which are still to come."""
    wanted, total = environment.parsed_options, environment.stats.total
    if wanted is None or isinstance(environment.runner, WorkerRunner):
        return
    rate, p95, errors = total.total_rps, total.get_response_time_percentile(0.95) or 0, 100 * total.fail_ratio
    missed = []
    if rate < wanted.min_rate:
        missed.append(f"{rate:.1f} requests/s, at least {wanted.min_rate:g} are wanted (--min-rate)")
    if p95 > wanted.max_p95:
        missed.append(f"95 of 100 requests took up to {p95:.0f} ms, {wanted.max_p95:g} are allowed (--max-p95)")
    if errors > wanted.max_errors:
        most = max(environment.stats.errors.values(), key=lambda error: error.occurrences)
        missed.append(f"{errors:.2f} of 100 requests failed, {wanted.max_errors:g} may (--max-errors)")
        missed.append(f"mostly {most.method} {most.name} with {most.error}")
    found = f"{rate:.1f} requests/s, 95 of 100 within {p95:.0f} ms, {total.num_failures} of {total.num_requests} failed"
    environment.process_exit_code = MISSED if missed else 0
    verdict = f"load test failed: {'; '.join(missed)}" if missed else f"load test passed: {found}"
    events.quit.add_listener(lambda **_: sys.stderr.write(f"{verdict}\n"))
