"""The questions that can be asked of an AiiDA database, in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.connecting.sessions.served import (
    WITH_GROUP_LABELS,
    WITH_JSON_COLUMNS,
    WITH_LINK_TYPES,
    WITH_NODE_TYPE,
    served,
)
from aiidadb.criteria import group_and_age, selection
from aiidadb.queries import (
    bands_listing,
    creation_statistics,
    edits,
    full_types,
    groups,
    links,
    parents,
    processes,
    provenance,
    relatives,
    uuids,
)
from aiidadb.queries.link_types import DATA_PROVENANCE, LINK_TYPES

if TYPE_CHECKING:
    import datetime
    import uuid
    from collections.abc import Callable, Collection, Iterable, Mapping

    import asyncpg
    from pypika.terms import Criterion, Term

    from aiidadb.connecting.sessions.session import Session
    from aiidadb.jsonvalue import JsonValue
    from aiidadb.pks import HasPk, Pks
    from aiidadb.queries.bands_listing import BandsListing
    from aiidadb.queries.creation_statistics import CreationStatistics
    from aiidadb.queries.formula import FormulaMode
    from aiidadb.queries.full_types import FullType
    from aiidadb.queries.groups import GroupRow
    from aiidadb.queries.links import LinkCounts, LinkDirection, NodeLink
    from aiidadb.queries.processes import ProcessRow
    from aiidadb.queries.provenance import Provenance
    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["LINK_TYPES", "QueryManager"]


def _since(link_types: Collection[str] | None) -> Callable[[SchemaVersion], bool] | None:
    """What the database's version must have if links of these types are followed."""
    return None if link_types is None else WITH_LINK_TYPES


class QueryManager:
    """Answers questions about nodes, as ``DjangoQueryManager`` did.

    Every call serves databases of AiiDA 1.x and 2.x alike, and takes part in
    :meth:`aiidadb.Backend.transaction`. Wherever node types are named, either spelling will do:
    ``data.structure.StructureData.`` and ``data.core.structure.StructureData.``.
    """

    query_group = staticmethod(group_and_age.query_group)
    query_past_days = staticmethod(group_and_age.query_past_days)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statistics = creation_statistics.StatisticsReader(session)
        self._processes = processes.ProcessReader(session)

    async def fetch(self, query: Term) -> list[asyncpg.Record]:
        """Run a pypika query that selects, with every value in it sent as a parameter.

        For instance what :meth:`query_group` and :meth:`query_past_days` give::

            query = Query.from_(nodes).select(nodes.id, nodes.label)
            query = backend.queries.query_group(query, group_name="semiconductors")
            rows = await backend.queries.fetch(query.orderby(nodes.id))

        Args:
            query: A pypika query on :data:`aiidadb.nodes` and AiiDA's other tables
                (:mod:`aiidadb.tables`).

        Returns:
            Its rows: records by column name and by position; JSON as Python values. A cell that
            Python cannot hold is None: a time before Christ, after 9999 or infinite, JSON that is
            nested too deep or has an integer of too many digits. (Nothing distinguishes it
            from null: select the column cast to ``text`` as well where that matters.)

        Raises:
            InvalidTypeError: Not a pypika query; SQL of your own runs on
                :meth:`aiidadb.Backend.connection`.
            InvalidInputError: Not a query that only selects, or a value that PostgreSQL cannot
                hold.
            DatabaseError: What the server reported, such as a column that does not exist.
        """
        with served(self._session):
            return await selection.fetch_selection(self._session, query)

    async def get_creation_statistics(
        self, user_pk: int | HasPk | None = None, *, timezone: str | None = None
    ) -> CreationStatistics:
        """How many nodes there are, of which types, and created on which days.

        The same as AiiDA's. The nodes of all users are counted from indexes alone if the table was
        vacuumed since it was filled, which PostgreSQL does by itself in time; otherwise in one
        scan.

        Args:
            user_pk: Count this user's nodes; None: those of all users.
            timezone: The time zone in which days begin and end, such as ``Europe/Zurich``; None:
                that of the session, which is the server's unless another was set.

        Returns:
            ``{"total": 3, "types": {"data.core.int.Int.": 3}, "ctime_by_day": {"2024-05-17": 3}}``
            with the days ascending, and without those that have no nodes: ``-infinity``, then days
            such as ``0044-03-15 BC``, ``2024-05-17`` and ``12026-01-01``, then ``infinity``. A user
            who does not exist has none.

        Raises:
            InvalidInputError: There is no such time zone, or this is not a valid pk.
        """
        with served(self._session, since=WITH_NODE_TYPE):
            return await self._statistics.get_creation_statistics(user_pk, timezone)

    async def get_closest_parents(
        self,
        pks: Pks,
        *criteria: Criterion,
        node_type: str | None = None,
        link_types: Collection[str] | None = None,
        chunk_size: int | None = None,
        progress: Callable[[int, int], object] | None = None,
        **lookups: object,
    ) -> dict[int, int]:
        """The closest ancestor of each node that meets all criteria.

        Closest is the least number of links of the types asked for; of several at that distance
        it is the one with the highest pk. A node is never its own parent. (Replaces
        ``djsite.queries.get_closest_parents``, whose default lost parents that children share.)

        The time is at most in proportion to the nodes and links above all starts together, however
        many of these there are. Where the parents are near, it is in proportion to the starts.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            criteria: pypika criteria on :data:`aiidadb.nodes`, such as
                ``nodes.node_type.like("data.core.array.%")``.
            node_type: Shorthand for that lookup.
            link_types: Types of links to follow, such as ``("create", "input_calc")``, which is
                what QueryBuilder's ancestors follow; None: all.
            chunk_size: Starts to walk from in one batch; it bounds the server's memory and never
                changes the answer. Where parents are far, all starts that are left are searched
                together, and it only decides how often progress is reported.
            progress: Called after each batch with the starts done and those in all.
            lookups: Columns of nodes and the values that they must have; None asks for null.

        Returns:
            Start to closest parent; a start that has none, or does not exist, is not in it. A
            ``node_type``, or another value of a lookup, that no node has is not an error: the
            answer is empty. The type is compared exactly; for subclasses too, give a criterion
            such as ``nodes.node_type.like("process.workflow.%")``.

        Raises:
            InvalidInputError: A pk, criterion, link type or chunk size cannot be used, or there is
                neither an argument nor a column of the name of a lookup.
        """
        if node_type is not None:
            lookups["node_type"] = node_type
        with served(self._session, since=_since(link_types)):
            return await parents.get_closest_parents(
                self._session,
                pks,
                criteria,
                lookups,
                link_types=link_types,
                chunk_size=chunk_size,
                progress=progress,
            )

    async def get_all_parents(
        self,
        node_pks: Pks,
        return_values: Iterable[str] = ("id",),
        *,
        link_types: Collection[str] | None = DATA_PROVENANCE,
        max_depth: int | None = None,
    ) -> list[tuple[object, ...]]:
        """All ancestors of some nodes taken together.

        The time is in proportion to the ancestors and their links.

        Args:
            node_pks: One pk, or any iterable of pks or of objects with a ``pk``.
            return_values: Columns of nodes, or keys inside two of them, as ``attributes.cell``; or
                ``depth``, the least number of links between the ancestor and any of the nodes.
            link_types: Types of links to follow; by default those that QueryBuilder's ancestors
                follow, as in djsite; None: all.
            max_depth: How many links away an ancestor is at most; None: any number.

        Returns:
            One tuple of the values for each ancestor, once, by ascending pk. (djsite's list repeats
            an ancestor for each way that leads to it.) One of the nodes given is in it where it is
            an ancestor, also of itself over a cycle. A pk that does not exist has none. What Python
            cannot hold is None, as in :meth:`fetch`.

        Raises:
            InvalidInputError: A pk, column, link type or depth cannot be used.
        """
        with served(self._session, since=_since(link_types)):
            return await relatives.get_all_parents(
                self._session, node_pks, return_values, link_types=link_types, max_depth=max_depth
            )

    async def get_descendants(
        self,
        pks: Pks,
        return_values: Iterable[str] = ("id",),
        *,
        link_types: Collection[str] | None = DATA_PROVENANCE,
        max_depth: int | None = None,
    ) -> list[tuple[object, ...]]:
        """All descendants of some nodes taken together: :meth:`get_all_parents`, downwards.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            return_values: As there; ``depth`` is the least number of links between the descendant
                and any of the nodes.
            link_types: Types of links to follow; by default those that QueryBuilder's descendants
                follow; None: all.
            max_depth: How many links away a descendant is at most; None: any number.

        Returns:
            One tuple of the values for each descendant, once, by ascending pk. One of the nodes
            given is in it where it is a descendant, also of itself over a cycle. A pk that does not
            exist has none.

        Raises:
            InvalidInputError: A pk, column, link type or depth cannot be used.
        """
        with served(self._session, since=_since(link_types)):
            return await relatives.get_descendants(
                self._session, pks, return_values, link_types=link_types, max_depth=max_depth
            )

    async def get_links(
        self,
        pks: Pks,
        direction: LinkDirection,
        *,
        link_types: Collection[str] | None = None,
        limit: int | None = None,
    ) -> dict[int, list[NodeLink]]:
        """The links of some nodes in one direction, each with the node at its other end.

        One statement, whose time is in proportion to the nodes and links that it gives, and with
        ``link_types`` to the links of other types that it comes to before those.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            direction: ``incoming``: the links that lead to the nodes, from their inputs, creators
                and callers; ``outgoing``: those that lead away from them.
            link_types: Types of links, such as ``("create",)``; None: all.
            limit: How many links of each node there are at most; None: all. Of a node that has
                more, they are the first that the database comes to, in general those that were
                stored first, but in no order that is promised: to find the lowest pks, all links of
                the node would have to be read, and a code can have 200,000. How many there are,
                :meth:`get_link_counts` returns.

        Returns:
            Pk to links, those that are given by the pk of the link, for every node that exists; the
            list is empty where it has none. A pk that does not exist is not a key.

        Raises:
            InvalidInputError: A pk, direction, link type or limit cannot be used.
        """
        with served(self._session, since=WITH_NODE_TYPE):
            return await links.get_links(
                self._session, pks, direction, link_types=link_types, limit=limit
            )

    async def get_link_counts(self, pks: Pks) -> dict[int, LinkCounts]:
        """How many links lead to some nodes and away from them, by type.

        One statement, whose time is in proportion to the links that it counts.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.

        Returns:
            Pk to numbers, for every node that exists. A pk that does not exist is not a key.

        Raises:
            InvalidInputError: A pk cannot be used.
        """
        with served(self._session):
            return await links.get_link_counts(self._session, pks)

    async def get_provenance(
        self,
        pks: Pks,
        *,
        depth: int = 1,
        link_types: Collection[str] | None = None,
        limit: int = provenance.MOST_NODES,
    ) -> Provenance:
        """The part of the provenance graph around some nodes: nodes, and all links among them.

        Links are followed in both directions, from whatever was reached. The time is in proportion
        to the nodes given and the links that lead to them.

        Args:
            pks: One pk, or any iterable of pks or of objects with a ``pk``.
            depth: How many links away from the nodes asked for others are at most; 0: these alone.
            link_types: Types of links to follow and to give; None: all.
            limit: How many nodes there are at most, those asked for included. Where there are
                more, these are the nearest, and of those at the distance where it ends the first
                that the database comes to.

        Returns:
            The nodes, the links, and whether there would be more nodes. What does not exist is not
            among them.

        Raises:
            InvalidInputError: A pk, depth, link type or limit cannot be used.
        """
        with served(self._session, since=WITH_NODE_TYPE):
            return await provenance.get_provenance(
                self._session, pks, depth=depth, link_types=link_types, limit=limit
            )

    async def get_full_types(self, user_pk: int | HasPk | None = None) -> list[FullType]:
        """Which kinds of nodes there are, and how many of each.

        A kind is a node type together with a process type, AiiDA's "full type". All nodes are read
        once, so that the time grows with the database.

        Args:
            user_pk: Count this user's nodes; None: those of all users.

        Returns:
            The kinds that there are, by node type, then process type. A user who does not exist
            has none.

        Raises:
            InvalidInputError: This is not a valid pk.
        """
        with served(self._session, since=WITH_NODE_TYPE):
            return await full_types.get_full_types(self._session, user_pk)

    def get_bands_and_parents_structure(
        self,
        *,
        all_users: bool = False,
        past_days: float | None = None,
        group_name: str | Iterable[str] | None = None,
        group_pk: Pks | None = None,
        element: str | Iterable[str] | None = None,
        element_only: str | Iterable[str] | None = None,
        formulamode: FormulaMode = "hill",
        link_types: Collection[str] | None = None,
        limit: int | None = None,
    ) -> BandsListing:
        """List band structures with the formula of the structure that they belong to.

        That is the one that they were computed from: the closest ``StructureData`` through links
        ``create`` and ``input_calc``. Bands that have none there belong to the closest through
        links of every type, as all did in djsite. (aiida-core 2.x takes the oldest ancestor through
        ``create`` and ``input_calc``.) The first arguments are those of ``verdi data bands list``:
        djsite's namespace can be given as ``**vars(args)``.

        Awaited, it is a list. Very many rows can be had one after the other, in little memory, and
        the first of them early::

            async for row in backend.queries.get_bands_and_parents_structure(all_users=True):
                print(row.pk, row.formula)

        All rows show the database as it was before the first. Until the last of them are there, the
        listing has a connection of its own, and counts as one of the pool's ``max_long`` long
        calls: what takes long between two rows keeps it from others. Calls inside the loop are
        not part of it, and see the database as it is. Inside :meth:`aiidadb.Backend.transaction`
        all have the transaction's connection, and what the loop changes may show in rows to come.
        A loop that is left early ends the listing soon after; to wait for that, use
        ``contextlib.aclosing(aiter(listing))``.

        Args:
            all_users: The bands of all users; False: those of the profile's default user, also with
                groups, as in djsite. (aiida-core 2.x asks for the *group's* user then.)
            past_days: Bands created in the last days, see :meth:`query_past_days`.
            group_name: Bands in groups with one of these labels, see :meth:`query_group`.
            group_pk: Bands in one of these groups.
            element: Symbols, of which the structure has one or more. (What counts of a kind is its
                first symbol.) With this or the next, bands without a structure are left out.
            element_only: Symbols, all of which the structure has. It may have others, too: despite
                the name, AiiDA does not exclude them.
            formulamode: How to write formulas, see :func:`aiidadb.get_formula`.
            link_types: Types of links to follow to the closest structure, such as
                ``("create", "input_calc")``; those alone then. None: as said above.
            limit: How many rows there are at most: the first ones. None: all.

        Returns:
            The bands by time of creation, then pk; ungrouped ones as well. ``row.as_strings()`` is
            what AiiDA gives. A group or element that does not exist is not an error: no bands have
            it. Nothing is sent before this is awaited or iterated over.

        Raises:
            InvalidInputError: An argument cannot be used.
            NotExistent: The profile has no default user, or none that is in the database.
        """
        return bands_listing.get_bands_and_parents_structure(
            self._session,
            all_users=all_users,
            past_days=past_days,
            group_name=group_name,
            group_pk=group_pk,
            element=element,
            element_only=element_only,
            formulamode=formulamode,
            link_types=link_types,
            limit=limit,
        )

    async def get_duplicate_uuids(self, table: str) -> list[tuple[int, uuid.UUID]]:
        """The rows of a table that share their UUID with another.

        Args:
            table: One of AiiDA's tables that have UUIDs, such as ``db_dbnode``.

        Returns:
            Pk and UUID, those with the same UUID together, then by pk. Empty as long as the
            table has the constraint that AiiDA gives it.

        Raises:
            InvalidInputError: No such table of AiiDA's.
        """
        with served(self._session):
            return await uuids.get_duplicate_uuids(self._session, table)

    async def apply_new_uuid_mapping(
        self, table: str, mapping: Mapping[int, str | uuid.UUID]
    ) -> None:
        """Give rows of a table new UUIDs: all of them, or none.

        Args:
            table: One of AiiDA's tables that have UUIDs, such as ``db_dbnode``.
            mapping: Pk to the UUID that the row is to have. Files of a node are not renamed.

        Raises:
            InvalidInputError: No such table of AiiDA's, or a pk or UUID is not valid, or two
                keys are the same pk.
            NotExistent: There is no row with one of the pks.
            IntegrityError: Another row has one of the UUIDs.
        """
        with served(self._session):
            await uuids.apply_new_uuid_mapping(self._session, table, mapping)

    async def get_groups(
        self,
        *,
        type_string: str | None = None,
        label_contains: str | None = None,
        limit: int | None = None,
    ) -> list[GroupRow]:
        """The groups, and how many nodes each has.

        The time is in proportion to the groups, and to the members of those that are listed.

        Args:
            type_string: The type of the groups, whole, such as ``core.upf``. What AiiDA called its
                own types before 1.2 will do as well: ``user``, ``data.upf``, ``auto.import`` and
                ``auto.run``.
            label_contains: What is part of the labels, as it stands: ``%`` and ``_`` mean
                themselves, and capitals matter, as for ``verdi group list --contains``.
            limit: How many groups at most: those with the lowest pks. None: all.

        Returns:
            The groups by pk; none of a type that does not exist.

        Raises:
            InvalidInputError: An argument cannot be used.
        """
        with served(self._session, since=WITH_GROUP_LABELS):
            return await groups.get_groups(
                self._session, type_string=type_string, label_contains=label_contains, limit=limit
            )

    async def get_processes(
        self,
        *,
        states: Collection[str] | None = None,
        since: datetime.datetime | str | None = None,
        changed_after: datetime.datetime | str | None = None,
        limit: int | None = None,
    ) -> list[ProcessRow]:
        """The processes, all of them or those in some states, or what has changed of them.

        For pollers: with ``changed_after`` the answer is in the order of the changes, and the time
        of its last row is what to pass next::

            rows = await backend.queries.get_processes(states=("created", "running", "waiting"))
            seen = max((row.mtime for row in rows if row.mtime is not None), default=began)
            while True:
                rows = await backend.queries.get_processes(changed_after=seen, limit=1000)
                if rows:
                    seen = rows[-1].mtime

        The time of a change is taken where the change is made, so one that is committed late can
        have an earlier time than one that was seen already. A poller that must miss nothing asks
        from a minute or so before the last time it saw, and skips what it knows.

        The time depends on what is asked for: with ``changed_after`` on how much has changed since,
        with ``since`` on the nodes made since, with ``limit`` alone on that (not so in the
        sqlalchemy line, which has no index on either time).

        States are in no index of AiiDA's. With the one that
        :meth:`aiidadb.SchemaManager.create_process_state_index` or ``aiidadb index create``
        creates, active processes are found by it at each call, and terminated ones where they are
        few. (A backend that is already open notices it within a quarter of an hour.)

        Without it, active processes are found by a look at all processes, though at none of the
        data, the first time, and then once in a quarter of an hour. In between this backend looks
        at those that it knows to be active, and at nodes that are new, or were changed since an
        hour before its last look; where a transaction was open then that has written, since before
        that one, for up to a day. (So a process that became active in another way than AiiDA's, by
        SQL that leaves ``mtime`` as it was, on a machine whose clock is more than an hour slow, or
        in a transaction that was open at the first look, may show a quarter of an hour late.)
        Inside :meth:`aiidadb.Backend.transaction`, in the sqlalchemy line, and for terminated
        states, all processes are looked at each time.

        Args:
            states: Those in one of these states: ``created``, ``running`` and ``waiting`` are those
                of active processes, ``finished``, ``excepted`` and ``killed`` those of terminated
                ones. None: all, also those whose state is none of these.
            since: Those made at this time or later: with a time zone, or such a time as text in ISO
                8601.
            changed_after: Those that changed later than this, by ``mtime``. Those whose ``mtime``
                Python cannot hold are not in the answer.
            limit: How many at most. With ``changed_after``, those that changed at the very time of
                the last one are in the answer too, whatever the limit, so that none is skipped
                when it is asked for later ones. None: all.

        Returns:
            The processes by time of creation and then pk, the latest first; with
            ``changed_after`` by time of the last change and then pk, the earliest first.

        Raises:
            InvalidInputError: An argument cannot be used; processes have no such state.
        """
        with served(self._session, since=WITH_JSON_COLUMNS):
            return await self._processes.get_processes(
                states=states, since=since, changed_after=changed_after, limit=limit
            )

    async def set_labels(self, mapping: Mapping[int, str]) -> int:
        """Give nodes labels: all of them, or none. Their ``mtime`` becomes now, as in AiiDA.

        Args:
            mapping: Pk to label, of 255 characters at most.

        Returns:
            How many nodes were given one. (One that had it already counts, and its ``mtime``
            changes.)

        Raises:
            InvalidInputError: A pk or label cannot be used, or two keys are the same pk.
            NotExistent: There is no node with one of the pks; nothing was changed.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        with served(self._session):
            return await edits.set_labels(self._session, mapping)

    async def set_descriptions(self, mapping: Mapping[int, str]) -> int:
        """Give nodes descriptions: all of them, or none. Their ``mtime`` becomes now, as in AiiDA.

        Args:
            mapping: Pk to description.

        Returns:
            How many nodes were given one. (One that had it already counts, and its ``mtime``
            changes.)

        Raises:
            InvalidInputError: A pk or description cannot be used, or two keys are the same pk.
            NotExistent: There is no node with one of the pks; nothing was changed.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        with served(self._session):
            return await edits.set_descriptions(self._session, mapping)

    async def update_extras(self, mapping: Mapping[int, Mapping[str, JsonValue]]) -> int:
        """Add to the extras of nodes: of all of them, or of none. Their ``mtime`` becomes now.

        A key that is there already gets the new value, whole, and others stay, as with AiiDA's
        ``node.base.extras.set_many``. (That rounds floats to 14 digits; here they are stored as
        they are.)

        Args:
            mapping: Pk to a dictionary of extras. Keys are not empty and have no ``.``, values are
                any JSON values. Large ones are read in a thread: they must not be changed before
                this returns.

        Returns:
            How many nodes were given extras. (One that had them already counts, and its ``mtime``
            changes.)

        Raises:
            InvalidInputError: A pk, key or value cannot be stored, or two keys are the same pk;
                nothing was sent.
            NotExistent: There is no node with one of the pks; nothing was changed.
            CorruptStorage: What a node has for its extras is not a JSON object; nothing was
                changed.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        with served(self._session, since=WITH_JSON_COLUMNS):
            return await edits.update_extras(self._session, mapping)

    async def add_to_group(self, group: int | HasPk | uuid.UUID | str, pks: Pks) -> int:
        """Put nodes into a group: all of them, or none.

        Neither the nodes' ``mtime`` nor the group's ``time`` changes, as in AiiDA. What a plugin's
        class of groups allows as members is not looked at.

        Args:
            group: Its pk, or an object that has it; its UUID as a :class:`uuid.UUID`; or its label.
            pks: One pk, or any iterable of pks or of objects with a ``pk``.

        Returns:
            How many of the nodes were not in the group before.

        Raises:
            InvalidInputError: The group or a pk cannot be used.
            NotExistent: There is no such group, or no node with one of the pks; nothing was
                changed.
            MultipleObjectsError: Groups of several types have this label; nothing was changed.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        with served(self._session, since=WITH_GROUP_LABELS):
            return await edits.add_to_group(self._session, group, pks)

    async def remove_from_group(self, group: int | HasPk | uuid.UUID | str, pks: Pks) -> int:
        """Take nodes out of a group: all of them, or none. Nodes that are not in it are ignored.

        Neither the nodes' ``mtime`` nor the group's ``time`` changes, as in AiiDA.

        Args:
            group: Its pk, or an object that has it; its UUID as a :class:`uuid.UUID`; or its label.
            pks: One pk, or any iterable of pks or of objects with a ``pk``.

        Returns:
            How many of the nodes were in the group before.

        Raises:
            InvalidInputError: The group or a pk cannot be used.
            NotExistent: There is no such group, or no node with one of the pks; nothing was
                changed.
            MultipleObjectsError: Groups of several types have this label; nothing was changed.
            UnknownOutcome: The connection was lost before the answer, outside of a transaction.
        """
        with served(self._session, since=WITH_GROUP_LABELS):
            return await edits.remove_from_group(self._session, group, pks)
