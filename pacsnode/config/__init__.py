"""The configuration: read once, validated whole, immutable.

`model`, `access`, `index` and `tls` say which keys there are and what they may hold, `values` and `quantities` how
values are written, `reading` finds the file, applies the environment and names every mistake with its line.
"""

from pacsnode.config.model import Config
from pacsnode.config.reading import Loaded, check_files, read

__all__ = ["Config", "Loaded", "check_files", "read"]
