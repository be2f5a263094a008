<%!
    def without_pass(text):
        return "\n".join(line for line in (text or "").splitlines() if line.strip() != "pass")
%>\
<%
    up, down = without_pass(upgrades), without_pass(downgrades)
    merges = isinstance(down_revision, tuple)
%>\
"""${message}."""

% if "sa." in up + down or not (up + down or merges):
import sqlalchemy as sa
% endif
% if not merges:
from alembic import op
% endif
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
% for line in context.get("losses", ()):
# ${line}
% endfor


def upgrade() -> None:
    """${message}."""
    ${up}


def downgrade() -> None:
    """Undo it."""
    ${down}
