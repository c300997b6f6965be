"""The small tables: SOP classes, transfer syntaxes, senders, character sets by number."""

import sqlite3

_MAX_KNOWN = 4096
_SOP_CLASS = ("SELECT id FROM sop_class WHERE uid = ?", "INSERT INTO sop_class (uid) VALUES (?)")
_TRANSFER_SYNTAX = (
    "SELECT id FROM transfer_syntax WHERE uid = ?",
    "INSERT INTO transfer_syntax (uid) VALUES (?)",
)
_SENDER = ("SELECT id FROM sender WHERE ae_title = ?", "INSERT INTO sender (ae_title) VALUES (?)")
_CHARACTER_SET = (
    "SELECT id FROM character_set WHERE name = ?",
    "INSERT INTO character_set (name) VALUES (?)",
)


class Dictionaries:
    """Numbers of texts, remembered until `forget`; used inside the writer's transaction."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int] = {}

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._known.clear()

    def sop_class(self, connection: sqlite3.Connection, uid: str) -> int:
        """Return the number of a SOP Class UID."""
        return self._known.get((_SOP_CLASS[0], uid)) or self._number(connection, _SOP_CLASS, uid)

    def transfer_syntax(self, connection: sqlite3.Connection, uid: str) -> int:
        """Return the number of a Transfer Syntax UID."""
        return self._known.get((_TRANSFER_SYNTAX[0], uid)) or self._number(connection, _TRANSFER_SYNTAX, uid)

    def sender(self, connection: sqlite3.Connection, ae_title: str) -> int:
        """Return the number of an AE title."""
        return self._known.get((_SENDER[0], ae_title)) or self._number(connection, _SENDER, ae_title)

    def character_set(self, connection: sqlite3.Connection, names: tuple[str, ...]) -> int:
        """Return the number of a Specific Character Set, 0 for the default repertoire."""
        name = "\\".join(names)
        if not name:
            return 0
        return self._known.get((_CHARACTER_SET[0], name)) or self._number(connection, _CHARACTER_SET, name)

    def _number(self, connection: sqlite3.Connection, statements: tuple[str, str], text: str) -> int:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        row = connection.execute(statements[0], (text,)).fetchone()
        number = row[0] if row else connection.execute(statements[1], (text,)).lastrowid
        assert isinstance(number, int)
        self._known[statements[0], text] = number
        return number
