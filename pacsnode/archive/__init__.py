"""The use cases of the archive, one module each; no network and no database here."""
