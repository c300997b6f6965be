"""Which presentation contexts are proposed to a destination, and how a plan is split among associations. Pure.

For each SOP class each stored transfer syntax alone, so that the destination chooses for each whether it takes the
bytes as they lie, and one context with Explicit and Implicit VR Little Endian, since the default transfer syntax is
always to be offered (PS3.5 10.1). With a JPEG lossless syntax its default, Selection Value 1, is offered too (PS3.5
10.2). A destination with a list of its own (`preferred`) is offered what is in that, each alone, in its order, and
Implicit VR Little Endian last.

An association has at most 128 contexts (PS3.8 9.3.2.2): what does not fit goes over a further one.
"""

from collections.abc import Iterable, Iterator, Sequence

from pacsnode.dicom.convertible import can_convert
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dimse.association.requestor import MAX_CONTEXTS
from pacsnode.index.base import Located

_UNCOMPRESSED = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
_JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
# PS3.5 10.2 and A.4.1, the retired ones of PS3.6 annex A included.
_JPEG_LOSSLESS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (57, 58, 65, 66, 70))

Kind = tuple[str, str]


def kind_of(located: Located) -> Kind:
    """Return what decides on the context of an instance: SOP class and stored transfer syntax."""
    return located.sop_class_uid, located.transfer_syntax_uid


def contexts_of(kinds: Iterable[Kind], preferred: Sequence[str] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """Return what to propose: the stored syntaxes alone, those that stand in for them, then the uncompressed ones."""
    kinds = dict.fromkeys(kinds)
    contexts: list[tuple[str, tuple[str, ...]]] = []
    if preferred:
        for sop_class, stored in kinds:
            contexts += [(sop_class, (one,)) for one in preferred if can_convert(stored, one)]
        contexts += [(sop_class, (IMPLICIT_VR_LITTLE_ENDIAN,)) for sop_class, _ in kinds]
        return list(dict.fromkeys(contexts))
    contexts += [(sop_class, (stored,)) for sop_class, stored in kinds]
    contexts += [
        (sop_class, (_JPEG_LOSSLESS_SV1,)) for sop_class, stored in kinds if stored in _JPEG_LOSSLESS
    ]
    contexts += [(sop_class, _UNCOMPRESSED) for sop_class, _ in kinds]
    return list(dict.fromkeys(contexts))


def parts_of(plan: Sequence[Located], preferred: Sequence[str] = ()) -> Iterator[tuple[int, list[Kind]]]:
    """Yield the parts of a plan that fit into one association each: where one ends, and the kinds in it."""
    kinds: dict[Kind, None] = {}
    for at, located in enumerate(plan):
        kind = kind_of(located)
        if kind in kinds:
            continue
        if kinds and len(contexts_of((*kinds, kind), preferred)) > MAX_CONTEXTS:
            yield at, list(kinds)
            kinds = {}
        kinds[kind] = None
    if kinds:
        yield len(plan), list(kinds)
