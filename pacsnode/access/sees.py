"""`sees`: which of the kept images a peer, or everybody who calls an AE title, finds and retrieves."""

from dataclasses import dataclass

from pacsnode.dicom.visibility import DEPARTMENT, INSTITUTION, ISSUER, Trait, View, Visibility


@dataclass(frozen=True, slots=True)
class Sees:
    """One table of `sees`; all that it says must hold. `own_sends` adds the requester to the senders."""

    institution: tuple[str, ...] = ()
    department: tuple[str, ...] = ()
    issuer: tuple[str, ...] = ()
    sent_by: tuple[str, ...] = ()
    own_sends: bool = False

    def view(self, calling_ae_title: str) -> View:
        """Return what a requester with this AE title sees by it."""
        said = ((INSTITUTION, self.institution), (DEPARTMENT, self.department), (ISSUER, self.issuer))
        traits = [Trait(attribute, values) for attribute, values in said if values]
        senders = (*self.sent_by, calling_ae_title) if self.own_sends else self.sent_by
        if senders:
            traits.append(Trait(None, senders))
        return View(tuple(traits))


def visibility(sees: tuple[Sees, ...] | None, calling_ae_title: str) -> Visibility | None:
    """Return what a requester sees by several tables, of which one suffices; None is everything."""
    return None if sees is None else tuple(one.view(calling_ae_title) for one in sees)
