"""What is asked of a query, and the statement that is compiled for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from aiidadb.exceptions import InvalidInputError
from aiidadb.querybuilder.filter_tree import of_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiidadb.querybuilder.compiling.parameters import Convert

__all__ = ["ALL_ROWS", "COUNT", "COUNTED", "STREAM", "Asked", "Compiled", "Field", "Guest"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a query.

    Attributes:
        what: Its rows, how many they are, those of one page, or rows with the number of all where
            that is best asked for together.
        after: For a page that is not the first: which of the last row's keys are null.
        is_streamed: Whether the first rows may be all that are ever read.
    """

    what: Literal["rows", "count", "page", "counted"]
    after: tuple[bool, ...] | None = None
    is_streamed: bool = False


ALL_ROWS: Final = Asked("rows")
STREAM: Final = Asked("rows", is_streamed=True)
COUNT: Final = Asked("count")
COUNTED: Final = Asked("counted")


class Field(NamedTuple):
    """What is projected under one name.

    Attributes:
        tag: Of the vertex or edge.
        key: The name in ``dict()``.
        width: How many columns it takes.
        make: What makes a record of them; None for a value.
    """

    tag: str
    key: str
    width: int
    make: Callable[..., object] | None


class Guest(NamedTuple):
    """A criterion that is not AiiDA's, on one vertex or edge.

    Attributes:
        tag: Of the vertex or edge.
        bind: Gives SQL and values for its table and alias, and the number of the first parameter.
        given: The criterion itself.
    """

    tag: str
    bind: Callable[[str, str, int], tuple[str, list[object]]]
    given: object


class Compiled(NamedTuple):
    """A statement.

    Attributes:
        text: SQL with ``$n``.
        slots: For each parameter, the place of its value among the query's values, and what
            converts the value to the parameter.
        subjects: For each parameter, the name of the field whose filter it is part of, for error
            messages.
        constants: Values that all queries of the same shape share, such as paths into JSON. Their
            places follow those of the query's values.
        fields: How a row is cut into what the caller gets.
        keys: For a page, how many columns follow the fields; they say where the next page begins.
        is_for_values: Whether the server should make a new plan for the values of each query. A
            plan for all values would be a bad one where the number of rows that are joined depends
            on the values: it may be one, or very many.
        has_number: Whether the last column is the number of all rows, including those that limit
            and offset leave out.
        counts_ways: Whether it counts the ways of a walk first, so that no row comes before.
    """

    text: str
    slots: tuple[tuple[int, Convert], ...]
    subjects: tuple[str, ...]
    constants: tuple[object, ...]
    fields: tuple[Field, ...]
    keys: int = 0
    is_for_values: bool = False
    has_number: bool = False
    counts_ways: bool = False

    def arguments(self, values: Sequence[object]) -> list[object]:
        """The parameters for the values of a query.

        Raises:
            InvalidInputError: A value cannot be what it is compared with.
        """
        every = (*values, *self.constants)
        try:
            return [
                every[place] if convert is None else convert(every[place])
                for place, convert in self.slots
            ]
        except InvalidInputError:
            self._refuse(every)
            raise

    def _refuse(self, values: Sequence[object]) -> None:
        """Say which filter has the value that is not valid."""
        for (place, convert), subject in zip(self.slots, self.subjects, strict=True):
            if convert is not None:
                try:
                    convert(values[place])
                except InvalidInputError as error:
                    raise of_filter(subject, error) from None
