"""`pacsnode find --explain`: a query of nobody, as this node would understand and answer it.

It takes the way of a query over the network: the Identifier is encoded and read again, so that what is explained is
what a peer would get. Imports the node, so `find` imports it only when it is asked for.
"""

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from pacsnode.archive.find import refuse_relational
from pacsnode.cli.output import Output, printable
from pacsnode.config import Config
from pacsnode.dicom.identifier import parse
from pacsnode.dicom.query import InformationModel, Options, Query
from pacsnode.dicom.uid import EXPLICIT_VR_LITTLE_ENDIAN
from pacsnode.dicom.wording import in_words
from pacsnode.node import open_index

if TYPE_CHECKING:
    from pacsnode.index.explaining import Explanation

_MAX_PARAMETER_CHARACTERS = 120
_CLAUSE_OR_PARENTHESIS = re.compile(r"[()]| (?:FROM|CROSS JOIN|WHERE|AND|ORDER BY|LIMIT) ")


def explain_query(
    output: Output,
    config: Config,
    identifier: Dataset,
    options: Options,
    *,
    patient_root: bool,
    calling_ae_title: str,
    called_ae_title: str,
) -> None:
    """Print how the node of a configuration would understand a query, the SQL, and SQLite's plan.

    The AE titles tell what the one who asks sees. Raises what is wrong about the query, and `ConfigError` where there
    is no index: this only reads.
    """
    model = InformationModel.PATIENT_ROOT if patient_root else InformationModel.STUDY_ROOT
    rights = config.policy().rights(calling_ae_title, called_ae_title)
    with open_index(config) as index:
        query = parse(
            _encoded(identifier),
            EXPLICIT_VR_LITTLE_ENDIAN,
            model,
            options=options,
            rule=rights.character_sets,
            catalogue=index.catalogue,
            match_case=config.index.match_case,
        )
        query = replace(query, visibility=rights.visibility)
        refuse_relational(query, rights)
        explanation = index.explain(query)
    _print_query(output, query)
    _print_statements(output, explanation)
    output.result({"level": query.level.name, "model": query.model.value}, None)


def _encoded(identifier: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, identifier)
    return buffer.getvalue()


def _print_query(output: Output, query: Query) -> None:
    output.item(
        "query",
        {"level": query.level.name, "model": query.model.value},
        f"{query.level.name} level, {query.model.value}\n",
    )
    keys = list(in_words(query, with_values=True))
    width = max((len(attribute) for attribute, _ in keys), default=0)
    for attribute, meaning in keys:
        if attribute:
            text = f"{attribute:<{width}}  {printable(meaning)}"
            output.item("key", {"attribute": attribute, "meaning": meaning}, text)
    for attribute, remark in keys:
        if not attribute:
            output.item("remark", {"remark": remark}, f"\n{printable(remark)}")


def _print_statements(output: Output, explanation: "Explanation") -> None:
    for one in explanation.keys:
        parameters = [_parameter(value) for value in one.condition.parameters]
        fields = {
            "attribute": one.key.attribute.keyword,
            "sql": one.condition.sql,
            "parameters": parameters,
            "index": one.index,
        }
        output.item("condition", fields, None)
    parameters = [_parameter(value) for value in explanation.statement.parameters]
    output.item(
        "statement",
        {"plan": explanation.plan, "sql": explanation.statement.sql, "parameters": parameters},
        f"\nplan: {explanation.plan}\n\n{laid_out(explanation.statement.sql)}\n\n"
        f"parameters: {', '.join(parameters) or 'none'}\n",
    )
    for step in explanation.steps:
        output.item("step", {"step": step}, f"    {step}")


def _parameter(value: object) -> str:
    """Return a parameter of a statement as SQL writes it; long ones are cut."""
    text = f"x'{value.hex()}'" if isinstance(value, bytes) else printable(repr(value))
    more = len(text) - _MAX_PARAMETER_CHARACTERS
    return f"{text[:_MAX_PARAMETER_CHARACTERS]}... ({more} more)" if more > 0 else text


def laid_out(sql: str) -> str:
    """Return a statement with a line for each of its clauses, those within parentheses as they are."""
    lines, depth, start = list[str](), 0, 0
    for found in _CLAUSE_OR_PARENTHESIS.finditer(sql):
        if found[0] in "()":
            depth += 1 if found[0] == "(" else -1
        elif depth == 0 and not _ends_a_range(sql, start, found):
            lines.append(sql[start : found.start()])
            start = found.start() + 1
    return "\n".join((*lines, sql[start:]))


def _ends_a_range(sql: str, start: int, clause: re.Match[str]) -> bool:
    """Return whether this is the AND of a BETWEEN, which stands within a line."""
    return clause[0] == " AND " and sql[start : clause.start()].endswith("BETWEEN ?")
