"""The files that TLS needs, wherever they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import model_validator

from pacsnode.config.values import PlacedError, Section
from pacsnode.tls import ClientTLS


class TLSSection(Section):
    """Files for calling peers with TLS."""

    ca: Path | None = None
    """File of the authorities that peers' certificates are from, PEM; else those of the system."""
    certificate: Path | None = None
    """File of our certificate, PEM, with those between it and its authority; for peers that want one."""
    private_key: Path | None = None
    """File of its private key, PEM without a password, mode 0600."""

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            there, missing = "certificate", "private_key"
            if self.certificate is None:
                there, missing = missing, there
            raise PlacedError(f"is needed beside {there}", "dicom", "tls", missing)
        return self

    def client(self) -> ClientTLS:
        """Return it as a connection needs it."""
        return ClientTLS(self.ca, self.certificate, self.private_key)

    def placed(self, folder: Path, environment: Mapping[str, str]) -> Self:
        """Return it with absolute paths: relative ones are systemd's credentials if there, else below the folder."""
        credentials = environment.get("CREDENTIALS_DIRECTORY")

        def absolute(path: Path) -> Path:
            if credentials and os.path.lexists(credential := Path(credentials) / path):
                return credential
            return folder / path.expanduser()

        paths = {key: getattr(self, key) for key in type(self).model_fields}
        return self.model_copy(
            update={key: absolute(path) for key, path in paths.items() if path is not None}
        )
