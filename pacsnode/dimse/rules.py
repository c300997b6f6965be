"""The rules that associations are accepted and served by, and what one association takes of them with it.

`Rules` are one snapshot of the configuration, as far as it can change while the node runs. A server that adopts others
applies them to associations from then on; each association keeps its `Terms` to its end, and the SCPs find them in
their conversation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pacsnode.access.policy import Policy, Rights
from pacsnode.dimse.admission import Limits
from pacsnode.duplicates import DuplicatePolicy


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: `dimse` for a response to our request, `network` between two messages of the peer."""

    acse: float
    dimse: float
    network: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One snapshot, by its number. `duplicates_of` has the AE titles of ours that do not follow `duplicates`."""

    policy: Policy
    limits: Limits
    timeouts: Timeouts
    max_pdu_bytes: int
    private_sop_classes: bool = True
    max_data_set_bytes: int = 4 << 30
    duplicates: DuplicatePolicy = DuplicatePolicy.KEEP_BOTH
    duplicates_of: Mapping[str, DuplicatePolicy] = field(default_factory=dict)
    # Without an instance delivered, before the destination of a C-MOVE is given up.
    stalled_seconds: float = 300.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules that an association was accepted by, and its rights."""

    rules: Rules
    rights: Rights

    @property
    def duplicates(self) -> DuplicatePolicy:
        """What becomes of other content for a known UID, by the AE title that was called."""
        return self.rules.duplicates_of.get(self.rights.called.ae_title, self.rules.duplicates)
