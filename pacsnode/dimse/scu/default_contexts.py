"""What a C-GET SCU offers when the remote does not tell what it will send: the SOP classes in use."""

from pynetdicom import AllStoragePresentationContexts

from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, is_storage_sop_class

_PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)


def default_contexts() -> list[tuple[str, tuple[str, ...]]]:
    """Return storage contexts, the uncompressed syntaxes together in each."""
    return [
        (str(context.abstract_syntax), _PLAIN)
        for context in AllStoragePresentationContexts
        if is_storage_sop_class(str(context.abstract_syntax))
    ]
