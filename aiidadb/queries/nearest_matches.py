"""The nearest match above each of many nodes, from their links: each node is settled once.

Distances are found from the matches downwards: a search upwards from each node would repeatedly
visit what lies above many of them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import compress
from operator import eq
from typing import TYPE_CHECKING

from aiidadb.turns import STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from aiidadb.turns import Steps

__all__ = ["NearestMatches"]


class NearestMatches:
    """Which match is the fewest links above each node; of several as near, the highest pk.

    Beside nodes and matches this holds 24 bytes for each node, and eight for each link. Nodes are
    known by their position in the list of them all, so that arrays can hold what belongs to each.
    Links are chained: each knows the next one that leads down from the same node.

    What takes long is a generator that pauses now and then: others on the event loop get their turn
    between its steps.
    """

    def __init__(self, nodes: list[int], matches: Set[int]) -> None:
        """Begin with nodes and no links.

        Args:
            nodes: The nodes whose nearest match may be asked or may lie on a way to one, ascending.
            matches: The matches; one that is not among the nodes has nothing above it that counts.
        """
        self._nodes = nodes
        self._matches = matches
        none = array("i", [0]) * len(nodes)
        # By node: its nearest match, or 0; how far that is; the nearest match but that one.
        self._nearest, self._distance, self._second = none[:], none[:], none[:]
        # By node, the first link down, or 0; by link, where it leads and the next link, or 0.
        self._first_link, self._children, self._next_link = none, array("i", [0]), array("i", [0])
        # The nodes with a match, the nearer the earlier.
        self._settled = array("i")

    def add_links(self, inputs: Iterable[int], outputs: Iterable[int]) -> Steps[None]:
        """Add links, before anything is settled.

        Args:
            inputs: Their upper ends, as pks.
            outputs: Their lower ends in the same order; each is one of the nodes.
        """
        nodes, matches, first_link = self._nodes, self._matches, self._first_link
        children, next_link = self._children, self._next_link
        nearest, second = self._nearest, self._second
        child, count = 0, len(nodes)
        for number, (parent_pk, child_pk) in enumerate(zip(inputs, outputs, strict=True), start=1):
            if number % STEP == 0:
                yield
            # Links come by their lower ends, mostly: then it is the same, or the next.
            if nodes[child] != child_pk:
                child += 1
                if child == count or nodes[child] != child_pk:
                    child = bisect_left(nodes, child_pk)
            if parent_pk in matches:
                best = nearest[child]
                if not best:
                    self._distance[child] = 1
                    self._settled.append(child)
                if parent_pk > best:
                    nearest[child], second[child] = parent_pk, best
                elif second[child] < parent_pk < best:
                    second[child] = parent_pk
                continue
            parent = bisect_left(nodes, parent_pk)
            # Where each statement sees what others committed before it, new links may have come.
            if parent < count and nodes[parent] == parent_pk:
                next_link.append(first_link[parent])
                first_link[parent] = len(children)
                children.append(child)

    def settle(self) -> Steps[None]:
        """Find the nearest match of every node, once all links are there."""
        nearest, distance, settled = self._nearest, self._distance, self._settled
        first_link, children, next_link = self._first_link, self._children, self._next_link
        for node in settled:  # which grows meanwhile
            match, further = nearest[node], distance[node] + 1
            link = first_link[node]
            while link:
                child = children[link]
                if not nearest[child]:
                    nearest[child], distance[child] = match, further
                    settled.append(child)
                elif nearest[child] < match and distance[child] == further:
                    nearest[child] = match
                if link % STEP == 0:
                    yield
                link = next_link[link]
        for at in range(0, len(nearest), STEP):
            if any(map(eq, nearest[at : at + STEP], self._nodes[at : at + STEP])):
                yield from self._settle_second()
                break
            yield

    def write_above(self, pks: Iterable[int], above: dict[int, int]) -> Steps[None]:
        """Look up the nearest match above nodes, other than the node itself, once all are settled.

        Args:
            pks: Some of the nodes.
            above: Where to write the nearest match of each that has one.
        """
        for number, pk in enumerate(pks, start=1):
            if number % STEP == 0:
                yield
            node = bisect_left(self._nodes, pk)
            match = self._nearest[node]
            if match == pk:
                match = self._second[node]
            if match:
                above[pk] = match

    def _settle_second(self) -> Steps[None]:
        """Find the nearest match but the nearest one, for matches whose nearest is themselves.

        Among nodes that share their nearest match the second one is handed down from one to the
        other; where a link leads in from a node with another nearest match, it is that one. Both
        are taken in the order of their distance, so each node is settled once more.
        """
        nearest, second = self._nearest, self._second
        first_link, children, next_link = self._first_link, self._children, self._next_link
        distance, settled = self._distance, self._settled
        waiting = array("i", compress(range(len(second)), second))  # found with the links
        second_distance = array("i", [0]) * len(second)
        for node in waiting:
            second_distance[node] = 1
        at, second_at = 0, 0
        while at < len(settled) or second_at < len(waiting):
            into_others = second_at == len(waiting) or (
                at < len(settled) and distance[settled[at]] <= second_distance[waiting[second_at]]
            )
            if into_others:
                node = settled[at]
                at += 1
                match, further = nearest[node], distance[node] + 1
            else:
                node = waiting[second_at]
                second_at += 1
                match, further = second[node], second_distance[node] + 1
            own, link = nearest[node], first_link[node]
            while link:
                child = children[link]
                if (nearest[child] != own) is into_others:
                    if not second[child]:
                        second[child], second_distance[child] = match, further
                        waiting.append(child)
                    elif second[child] < match and second_distance[child] == further:
                        second[child] = match
                if link % STEP == 0:
                    yield
                link = next_link[link]
