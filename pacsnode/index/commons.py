"""What the images of a series mostly have in common: a row of `image_common` for all images that agree.

Orientation, image type, dates and codes are the same in most images of a series. Kept with each image they would
be most of the index; here they take a few bytes of it, the number of the row. Rows stay when their last image goes:
there are few, and the next image like it finds its row again.
"""

import sqlite3
import zlib
from collections.abc import Mapping

from pacsnode.index import schema
from pacsnode.index.columns import Value, as_folded, keeping

_MAX_KNOWN = 4096

_ATTRIBUTES = schema.common()
_KEYWORDS = tuple(attribute.keyword for attribute in _ATTRIBUTES)
_NOTHING = (None,) * len(_KEYWORDS)
_KEEPING = tuple(map(keeping, _ATTRIBUTES))
_FOLDED = tuple(attribute for attribute in _ATTRIBUTES if schema.is_folded(attribute))
_COLUMNS = tuple(f'"{attribute.column}"' for attribute in _ATTRIBUTES)
_FOLDED_COLUMNS = tuple(f'"{attribute.column}_folded"' for attribute in _FOLDED)
_NAMES = ", ".join(("content_hash", *_COLUMNS, *_FOLDED_COLUMNS))
_INSERT = f"INSERT INTO image_common ({_NAMES}) VALUES ({', '.join('?' * len(_NAMES.split(', ')))})"
_FIND = f"""SELECT id FROM image_common WHERE content_hash = ? AND
    {" AND ".join(f"{column} IS ?" for column in _COLUMNS)} ORDER BY id LIMIT 1"""


class Commons:
    """Numbers of rows, remembered until `forget`; used inside the writer's transaction."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | None, ...], int] = {}

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._known.clear()

    def number(self, connection: sqlite3.Connection, values: Mapping[str, str]) -> int | None:
        """Return the number of the row with an image's attributes, None if it has none of them."""
        content = tuple(map(values.get, _KEYWORDS))
        if content == _NOTHING:
            return None
        number = self._known.get(content)
        if number is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            number = self._known[content] = _number(connection, values)
        return number


def _number(connection: sqlite3.Connection, values: Mapping[str, str]) -> int:
    texts = map(values.get, _KEYWORDS)
    row: list[Value] = [keep(text) if text else None for keep, text in zip(_KEEPING, texts, strict=True)]
    content_hash = schema.signed(zlib.crc32(repr(row).encode("utf-8", "surrogatepass")))
    found = connection.execute(_FIND, (content_hash, *row)).fetchone()
    if found is not None:
        number: int = found[0]
        return number
    names = [as_folded(one, values[one.keyword]) if values.get(one.keyword) else None for one in _FOLDED]
    row_id = connection.execute(_INSERT, (content_hash, *row, *names)).lastrowid
    assert row_id is not None
    return row_id
