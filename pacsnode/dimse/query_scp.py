"""C-FIND (PS3.4 C.4.1): a page of Pending responses a write, C-CANCEL looked for between them."""

import time
from dataclasses import dataclass, replace

from pacsnode.archive.find import Cancelled, Find, refuse_relational
from pacsnode.dicom.attributes import STANDARD, Catalogue
from pacsnode.dicom.identifier import parse
from pacsnode.dicom.query import Query
from pacsnode.dicom.response import ResponseEncoder
from pacsnode.dicom.zones import Zoned
from pacsnode.dimse import status
from pacsnode.dimse.association.command import response
from pacsnode.dimse.association.conversation import Conversation, Message
from pacsnode.dimse.association.endings import AssociationOver
from pacsnode.dimse.contexts import FIND_MODELS, options_of
from pacsnode.dimse.query_log import log_query
from pacsnode.dimse.status import FindStatus
from pacsnode.errors import PacsNodeError
from pacsnode.observe import Observer, QueryAnswered

MAX_IDENTIFIER_BYTES = 4 << 20

_ANSWERS_PER_WRITE = 64


@dataclass(slots=True)
class _Answering:
    """How far a query is answered."""

    level: str = ""
    matches: int = 0


class QuerySCP:
    """Answers queries."""

    def __init__(
        self,
        find: Find,
        observer: Observer,
        *,
        catalogue: Catalogue = STANDARD,
        match_case: bool = True,
    ) -> None:
        """`catalogue` is what can be asked for, `match_case` how texts are compared."""
        self._find = find
        self._observer = observer
        self._catalogue = catalogue
        self._match_case = match_case

    def serve(self, conversation: Conversation, message: Message) -> None:
        """Answer one query."""
        started, answering = time.monotonic(), _Answering()
        code, comment = int(FindStatus.SUCCESS), ""
        offending: tuple[int, ...] = ()
        identifier = conversation.data_set(MAX_IDENTIFIER_BYTES)
        try:
            query = self._query(conversation, message, identifier)
            answering.level = query.level.name
            self._answer(conversation, message, query, answering)
        except AssociationOver:
            raise  # nobody is there to be told a status
        except Cancelled:
            code = FindStatus.CANCEL
        except PacsNodeError as error:
            code, comment = status.of_find(error)
            offending = status.offending_of(error)
        final = response(message.command, code, comment=comment, offending=offending)
        conversation.respond(message.context, final)
        self._observer(
            QueryAnswered(
                association_id=conversation.parties.association_id,
                calling_ae_title=conversation.parties.calling_ae_title,
                model=FIND_MODELS[message.context.abstract_syntax].value,
                level=answering.level,
                matches=answering.matches,
                status=code,
                comment=comment,
                seconds=time.monotonic() - started,
            )
        )

    def _query(self, conversation: Conversation, message: Message, identifier: bytes) -> Query:
        model = FIND_MODELS[message.context.abstract_syntax]
        rights = conversation.terms.rights
        parsed = parse(
            identifier,
            message.context.transfer_syntax,
            model,
            options=options_of(message.context),
            rule=rights.character_sets,
            catalogue=self._catalogue,
            match_case=self._match_case,
        )
        query = replace(parsed, visibility=rights.visibility)
        log_query("C-FIND", query)
        refuse_relational(query, rights)
        return query

    def _answer(
        self, conversation: Conversation, message: Message, query: Query, answering: _Answering
    ) -> None:
        rights = conversation.terms.rights
        peer = rights.peer
        returns_unknown_keys = peer is not None and peer.return_unknown_keys
        encoder = ResponseEncoder(
            query,
            transfer_syntax_uid=message.context.transfer_syntax,
            retrieve_ae_title=rights.called.ae_title,
            character_sets=rights.character_sets.override,
            returns_unknown_keys=returns_unknown_keys,
        )
        left_out = query.unsupported and not returns_unknown_keys
        is_partial = bool(left_out or query.unsupported_items or query.unmatched)
        code = FindStatus.PENDING_WITHOUT_OPTIONAL_KEYS if is_partial else FindStatus.PENDING
        pending = response(message.command, code, has_data_set=True)
        message_id = message.command.message_id
        zoned = Zoned(query)
        for page in self._find.answers(zoned.query, lambda: conversation.cancelled(message_id)):
            for start in range(0, len(page), _ANSWERS_PER_WRITE):
                if conversation.cancelled(message_id):
                    raise Cancelled("cancelled between two answers")
                rows = page[start : start + _ANSWERS_PER_WRITE]
                conversation.respond_all(
                    message.context, [(pending, encoder.encode(zoned.row(row))) for row in rows]
                )
                answering.matches += len(rows)
