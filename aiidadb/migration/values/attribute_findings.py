"""Rows of attributes and extras without a place or a value: what stops 0037, what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from aiidadb.exceptions import StorageMigrationError
from aiidadb.messages import plural

__all__ = ["Findings", "table_of"]

_NAMED_AT_MOST: Final = 10


@dataclass
class Findings:
    """What is met on the way: rows that stop the migration, and rows to report.

    Attributes:
        misplaced: The first few rows that have no place, each with its node and why.
        misplaced_count: In how many nodes there are such rows.
        kept_json: How many values of datatype ``json`` were met.
        lost: The first few values that cannot be read.
        lost_count: How many of them there are.
    """

    misplaced: list[str] = field(default_factory=list)
    misplaced_count: int = 0
    kept_json: int = 0
    lost: list[str] = field(default_factory=list)
    lost_count: int = 0

    def refuse(self, node: int, extra: bool, problem: str, others: int = 0) -> None:
        """Note a row that stops the migration.

        Args:
            node: Its node.
            extra: Whether it is of the extras.
            problem: Which row it is, and why it has no place.
            others: How many more nodes have such a row.
        """
        self.misplaced_count += 1 + others
        if len(self.misplaced) < _NAMED_AT_MOST:
            more = f" (and in {plural(others, 'more node')} with the same keys)" if others else ""
            self.misplaced.append(f"{table_of(extra)} of node {node}, {problem}{more}")

    def lose(self, what: str) -> None:
        """Note a value that cannot be read and becomes null."""
        self.lost_count += 1
        if len(self.lost) < _NAMED_AT_MOST:
            self.lost.append(what)

    def raise_for_misplaced(self) -> None:
        """Stop the migration if a row was met that does.

        Raises:
            StorageMigrationError: There is one; the message names it, and the notes the first ten.
        """
        if not self.misplaced:
            return
        more = "; …" if self.misplaced_count > 1 else ""
        error = StorageMigrationError(
            "there are rows that have no place in the attributes or extras of their node, in "
            f"{plural(self.misplaced_count, 'node')}: {self.misplaced[0]}{more}. AiiDA cannot read "
            "them either: repair or delete the rows, then migrate again"
        )
        for misplaced in self.misplaced[1:]:  # all of them are more than a message holds
            error.add_note(misplaced)
        raise error

    def notes(self) -> tuple[str, ...]:
        """What the report must say about the others."""
        notes = []
        if self.kept_json:
            notes.append(
                "attributes, extras and settings of datatype json, which AiiDA 1.6 turns into null "
                f"here, and which keep their value: {self.kept_json}"
            )
        if self.lost:
            more = "; …" if self.lost_count > len(self.lost) else ""
            notes.append(
                "values that neither AiiDA nor this step can read, and that are now null, as in "
                f"AiiDA: {self.lost_count} ({'; '.join(self.lost)}{more})"
            )
        return tuple(notes)


def table_of(extra: bool) -> str:
    """The table that a row is in: that of extras, or of attributes."""
    return "db_dbextra" if extra else "db_dbattribute"
