"""How the nodes are cut into slices that processes of the server work on in parallel (0037)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

__all__ = ["NodeSlices", "cut_nodes"]

_SLICE_SIZE: Final = 4096  # nodes that one process of the server works on at a time, or more
_SLICES_A_SET: Final = 8
_SLICES_AT_MOST: Final = 1024  # each set is a table, and the server's memory for locks is bounded
_SAMPLE_SIZE: Final = 256  # nodes whose shapes are learned first
_SAMPLE_AT_MOST: Final = 8192  # ids for it, where there are gaps

_FIRST_ID: Final = -(2**31)
_LAST_ID: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class NodeSlices:
    """How the nodes are cut into sets, each a few slices.

    Attributes:
        sets: The ids at which the slices of each set begin, and at which its last ends. Together
            they are all that can be ids: rows may have a node that is not there.
        sample: Some ids from all over the database; there need not be nodes of all of them.
    """

    sets: tuple[list[int], ...]
    sample: list[int]


def cut_nodes(nodes: int, first: int, last: int) -> NodeSlices:
    """Cut so that a slice has the size wanted where the ids have gaps of the same size.

    Where they have not, some slices are larger, and some are empty, which is just as good.

    Args:
        nodes: How many there are.
        first: The lowest id.
        last: The highest.
    """
    ids = range(first, last + 1)
    slices = min(max(-(-nodes // _SLICE_SIZE), 1), _SLICES_AT_MOST)
    width = -(-len(ids) // slices)
    ends = [_FIRST_ID, *range(first + width, last + 1, width), _LAST_ID + 1]
    # Scattered: of nodes that were made by turns, every n-th would be of the same few kinds.
    wanted = _SAMPLE_SIZE * len(ids) // max(nodes, 1)
    sample = random.Random(0).sample(ids, min(wanted, len(ids), _SAMPLE_AT_MOST))  # noqa: S311
    return NodeSlices(
        sets=tuple(
            ends[start : start + _SLICES_A_SET + 1]
            for start in range(0, len(ends) - 1, _SLICES_A_SET)
        ),
        sample=sample,
    )
