"""Sampling: which spans are recorded, and that their trace is the one of the request."""

import random
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from app.core import context


class Sampling(Sampler):
    """Records what belongs to a recorded request. A statement or a call by itself (a clean-up, a probe) is nothing."""

    def __init__(self, share: float) -> None:
        self.share = share

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Whether to record a span."""
        del trace_id, links, trace_state
        parent = get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            # SQLAlchemy's "connect" is the check-out from the pool: one for each statement, and nothing to see.
            wanted = parent.trace_flags.sampled and not (name == "connect" and kind is SpanKind.CLIENT)
        else:
            # Requests have been drawn before they come here.
            wanted = kind is SpanKind.SERVER or (kind is not SpanKind.CLIENT and random.random() < self.share)  # noqa: S311
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP, attributes)

    def get_description(self) -> str:
        """What the SDK prints."""
        return f"Sampling({self.share})"


class RequestIds(RandomIdGenerator):
    """The trace of a request is the one that its log lines name."""

    def generate_trace_id(self) -> int:
        """The trace of the request that is being served, or a new one outside of requests."""
        request = context.current()
        return int(request.trace_id, 16) if request else super().generate_trace_id()
