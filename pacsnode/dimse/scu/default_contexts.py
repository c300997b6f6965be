"""What a C-GET SCU offers when the remote does not tell what it will send: the SOP classes in use."""

from pynetdicom import StoragePresentationContexts

from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, is_storage_sop_class

_PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def default_contexts() -> list[tuple[str, tuple[str, ...]]]:
    """Return pynetdicom's 120 usual storage contexts, the uncompressed syntaxes together in each.

    All that are registered would not fit into one association: cut off by their order, SR would be left out.
    """
    return [
        (str(context.abstract_syntax), _PLAIN)
        for context in StoragePresentationContexts
        if is_storage_sop_class(str(context.abstract_syntax))
    ]
