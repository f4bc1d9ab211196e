"""All kinds of findings: the one table of what would stop a step, or be lost in one.

``aiidadb/docs/migrations.md`` has the same table for users; a test keeps the two in agreement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiidadb.messages import cut
from aiidadb.migration.findings import Finding
from aiidadb.migration.options import OR_WITHOUT_FILES
from aiidadb.migration.repository.lister import LEVELS_AT_MOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from aiidadb.migration.findings import Action
    from aiidadb.migration.plan import MigrationPlan
    from aiidadb.migration.step_file import MigrationStep

__all__ = ["KINDS", "Kind"]

_PKS_AT_MOST: Final = 10
_EXAMPLE_AT_MOST: Final = 120  # characters


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding.

    Attributes:
        code: Its name.
        steps: The numbers of the Django line's steps that stop at it or drop it, ascending; a file
            that is a step of the sqlalchemy line too counts there as well. With none of them, nor
            of the other line's own, it keeps any step from beginning.
        action: What a migration does with it.
        what: What they are, after the place and the number: "db_dbnode: 12 rows with ...".
        one: What it is, where there is one.
        aiida: What AiiDA's own migration does with it.
        remedy: What to do about it; empty where nothing has to be done.
        queries: The queries that find it, each for some versions, as its header says; none where
            Python looks for it.
        sqlalchemy_steps: The numbers of steps of the sqlalchemy line, from files of its own.
    """

    code: str
    steps: tuple[int, ...]
    action: Action
    what: str
    one: str
    aiida: str
    remedy: str = ""
    queries: tuple[str, ...] = ()
    sqlalchemy_steps: tuple[int, ...] = ()

    def step_of(self, plan: MigrationPlan) -> str | None:
        """The name of the first step of a plan that this concerns; None where there is none."""
        if not self.steps and not self.sqlalchemy_steps:
            return ""
        for planned in plan.steps:
            if self.concerns(planned.step):
                return planned.name
        return None

    def concerns(self, step: MigrationStep) -> bool:
        """Whether a step stops at it or drops it."""
        version = step.version
        if version.line == "main":
            return False
        if version.line == "sqlalchemy" and version.number in self.sqlalchemy_steps:
            return True
        return any(step.file.startswith(f"{number:04}_") for number in self.steps)

    def found(
        self,
        step: str,
        where: str,
        count: int,
        pks: Iterable[int] = (),
        *,
        example: str | None = None,
        places: Sequence[str] = (),
        remedy: str | None = None,
    ) -> Finding:
        """A finding of this kind.

        Args:
            step: The step that it concerns.
            where: The table, column or directory.
            count: How many there are.
            pks: The rows; the first ten are kept.
            example: One of the values or keys that were found.
            places: The first few paths, where files were found.
            remedy: Another remedy than the kind's own.
        """
        such = "" if example is None else f", such as {cut(example, _EXAMPLE_AT_MOST)!r}"
        if places:
            such = f" ({', '.join(places)}{', …' if count > len(places) else ''})"
        return Finding(
            code=self.code,
            step=step,
            message=f"{where}: {count} {self.one if count == 1 else self.what}{such}. {self.aiida}",
            pks=tuple(pks)[:_PKS_AT_MOST],
            count=count,
            action=self.action,
            remedy=self.remedy if remedy is None else remedy,
        )


_NEW_UUIDS: Final = (
    "find them with get_duplicate_uuids(table), and give all but one of each a new uuid with "
    "apply_new_uuid_mapping(table, {pk: uuid}); a node's folder in the file repository is named "
    "after its uuid: copy it too"
)
_STOPS: Final = "AiiDA's own step fails."

KINDS: Final[Mapping[str, Kind]] = {
    kind.code: kind
    for kind in (
        Kind(
            "table_owner",
            (),
            "refused",
            "tables that belong to a role that this one is not a member of",
            "table that belongs to a role that this one is not a member of",
            _STOPS,
            "migrate as that role, or as a member of it",
        ),
        Kind(
            "obstacle",
            (),
            "refused",
            "views, triggers, rules, policies and the like on what is changed",
            "view, trigger, rule, policy or the like on what is changed",
            "AiiDA fails on some and fires others.",
            "save their definitions, drop or disable them, migrate, and create them again",
        ),
        Kind(
            "unreadable_table",
            (),
            "refused",
            "tables that the role may not read",
            "table that the role may not read",
            _STOPS,
            "grant select on all tables to the role, or check as their owner",
        ),
        Kind(
            "export_directory",
            (20, 24, 32, 37, 50),
            "refused",
            "directories for exports that cannot be written",
            "directory for exports that cannot be written",
            "AiiDA writes into the current directory, or fails.",
            "give another one with export_directory (--export-directory)",
            sqlalchemy_steps=(6, 11, 49),
        ),
        Kind(
            "repeated_node_uuid",
            (14, 18),
            "refused",
            "nodes with a uuid that another node also has, in whatever spelling",
            "node with a uuid that another node also has, in whatever spelling",
            _STOPS,
            _NEW_UUIDS,
            ("repeated_node_uuid",),
        ),
        Kind(
            "repeated_uuid",
            (18,),
            "refused",
            "rows with a uuid that another row also has, in whatever spelling",
            "row with a uuid that another row also has, in whatever spelling",
            _STOPS,
            f"{_NEW_UUIDS}; of workflows, with an UPDATE of the column",
            ("repeated_uuid",),
            sqlalchemy_steps=(25,),
        ),
        Kind(
            "malformed_uuid",
            (18,),
            "refused",
            "rows with an invalid uuid",
            "row with an invalid uuid",
            _STOPS,
            "give each of them a uuid with apply_new_uuid_mapping(table, {pk: uuid}), or with an "
            "UPDATE of the column",
            ("malformed_uuid",),
        ),
        Kind(
            "repeated_email",
            (18,),
            "refused",
            "users with an email that another user also has",
            "user with an email that another user also has",
            _STOPS,
            "give all but one of them another email: "
            "update db_dbuser set email = 'other@example.org' where id = …",
            ("repeated_email",),
        ),
        Kind(
            "doubled_membership",
            (),
            "exported",
            "duplicate memberships of nodes in groups",
            "duplicate membership of a node in a group",
            _STOPS,
            queries=("doubled_membership_check",),
            sqlalchemy_steps=(6, 11),
        ),
        Kind(
            "removed_link",
            (20,),
            "exported",
            "links that calculations and workflows of AiiDA 1.0 cannot have",
            "link that calculations and workflows of AiiDA 1.0 cannot have",
            "AiiDA prints and deletes them.",
            queries=("removed_link", "removed_link_before_0007"),
        ),
        Kind(
            "group_label_clash",
            (22, 44),
            "refused",
            "groups that would get the label and the type string of another group",
            "group that would get the label and the type string of another group",
            "AiiDA's own step fails with a bare duplicate key.",
            "give them other labels",
            ("group_label_clash", "group_label_clash_before_0021"),
            sqlalchemy_steps=(49,),
        ),
        Kind(
            "departing_log",
            (24,),
            "exported",
            "logs of legacy workflows, of unknown entities and of nodes that are gone",
            "log of a legacy workflow, an unknown entity or a node that is gone",
            "AiiDA writes them to files and deletes them, as this does.",
            queries=("departing_log",),
        ),
        Kind(
            "long_node_type",
            (25,),
            "refused",
            "nodes with a type that leaves no room for a prefix of five characters",
            "node with a type that leaves no room for a prefix of five characters",
            _STOPS,
            "give them a shorter type: update db_dbnode set type = … where id = …",
            ("long_node_type",),
        ),
        Kind(
            "missing_symbols",
            (26,),
            "refused",
            "trajectories whose symbols are in a file that is not there",
            "trajectory whose symbols are in a file that is not there",
            _STOPS,
            f"put the files back from a backup, {OR_WITHOUT_FILES}",
        ),
        Kind(
            "old_workflow",
            (32,),
            "exported",
            "rows of workflows of AiiDA 0.x, their data and steps",
            "row of the workflows of AiiDA 0.x, their data and steps",
            "AiiDA writes them to a file and drops the tables, as this does.",
            queries=("old_workflow",),
        ),
        Kind(
            "unstorable_json",
            (33,),
            "repairable",
            r"rows with JSON that JSONB cannot hold (\u0000, or half of a surrogate pair)",
            r"row with JSON that JSONB cannot hold (\u0000, or half of a surrogate pair)",
            _STOPS,
            r"migrate with --repair (in Python: repair=True), which keeps them as the text \\u0000",
        ),
        Kind(
            "malformed_json",
            (33,),
            "refused",
            "rows with text that is not valid JSON",
            "row with text that is not valid JSON",
            _STOPS,
            "correct the text, or replace it with {}",
        ),
        Kind(
            "stray_attribute",
            (37,),
            "exported",
            "rows of nodes that are gone",
            "row of a node that is gone",
            "AiiDA drops them with the table.",
        ),
        Kind(
            "misplaced_attribute",
            (37,),
            "refused",
            "nodes with rows that have no place in their attributes or extras: without the row of "
            "the list or dict that they are in, beyond the list's length, or twice",
            "node with rows that have no place in its attributes or extras: without the row of "
            "the list or dict that they are in, beyond the list's length, or twice",
            "AiiDA's own step fails on such a node, and AiiDA 0.x cannot read it.",
            "repair or delete the rows",
        ),
        Kind(
            "impossible_value",
            (37,),
            "refused",
            "rows with a float without a number, or a time that Python does not have",
            "row with a float without a number, or a time that Python does not have",
            "AiiDA's own step fails on such a node, and AiiDA 0.x cannot read it.",
            "repair or delete the rows",
        ),
        Kind(
            "unreadable_value",
            (37,),
            "exported",
            "rows with a value of an unknown datatype, or of datatype json that is not valid JSON",
            "row with a value of an unknown datatype, or of datatype json that is not valid JSON",
            "AiiDA silently replaces them with null.",
        ),
        Kind(
            "unreadable_setting",
            (37,),
            "exported",
            "settings with a value that Python does not have, of an unknown datatype, or of "
            "datatype json that is not valid JSON",
            "setting with a value that Python does not have, of an unknown datatype, or of "
            "datatype json that is not valid JSON",
            "AiiDA silently replaces them with null.",
        ),
        Kind(
            "repository",
            (47,),
            "refused",
            "file repositories that are not there, cannot be written, or hold another container or "
            "another database's files",
            "file repository that is not there, cannot be written, or holds another container or "
            "another database's files",
            "AiiDA 2.x refuses, or moves nothing.",
            f"name the right one in the profile or by --repository, {OR_WITHOUT_FILES}",
        ),
        Kind(
            "two_contents",
            (47,),
            "refused",
            "node folders with files both in 'path' and in 'raw_input', of which only one can be "
            "the node's",
            "node folder with files both in 'path' and in 'raw_input', of which only one can "
            "be the node's",
            _STOPS,
            "delete the wrong one of each",
        ),
        Kind(
            "unreadable_file",
            (47,),
            "refused",
            "files and directories that cannot be read",
            "file or directory that cannot be read",
            _STOPS,
            "give the right to read them, or migrate as their owner",
        ),
        Kind(
            "broken_link",
            (47,),
            "refused",
            "symbolic links that lead nowhere",
            "symbolic link that leads nowhere",
            _STOPS,
            "remove them, or put back what they lead to",
        ),
        Kind(
            "special_file",
            (47,),
            "refused",
            "pipes, sockets and devices, which have no content to move",
            "pipe, socket or device, which has no content to move",
            "AiiDA's own step hangs at a pipe, and fails at the others.",
            "remove them",
        ),
        Kind(
            "unstorable_file_name",
            (47,),
            "refused",
            "files whose name is not valid UTF-8",
            "file whose name is not valid UTF-8",
            _STOPS,
            "rename them",
        ),
        Kind(
            "too_deep_directories",
            (47,),
            "refused",
            f"node folders with directories nested more than {LEVELS_AT_MOST} levels deep, or with "
            "paths longer than the system allows",
            f"node folder with directories nested more than {LEVELS_AT_MOST} levels deep, or with "
            "paths longer than the system allows",
            "AiiDA keeps them as JSON; its own step fails, or it cannot read what that wrote.",
            "pack the inner directories of each into an archive, such as a .tar file",
        ),
        Kind(
            "missing_key",
            (),
            "exported",
            "rows that connect two others and name only one of them",
            "row that connects two others and names only one of them",
            "AiiDA silently deletes them.",
            queries=("missing_key",),
            sqlalchemy_steps=(49,),
        ),
        Kind(
            "long_level",
            (),
            "exported",
            "logs with a level of more than 50 characters",
            "log with a level of more than 50 characters",
            "AiiDA silently truncates it.",
            queries=("long_level",),
            sqlalchemy_steps=(49,),
        ),
        Kind(
            "missing_value",
            (),
            "refused",
            "rows without a value that AiiDA 2.x requires and that cannot be guessed",
            "row without a value that AiiDA 2.x requires and that cannot be guessed",
            _STOPS,
            "give each of them one: update … set … where id = …",
            ("missing_value", "missing_value_before_0030", "missing_value_before_0007"),
            (50,),
        ),
        Kind(
            "missing_owner",
            (50,),
            "refused",
            "rows whose user or computer is gone",
            "row whose user or computer is gone",
            "AiiDA's own step fails with a bare foreign-key error.",
            "make the column refer to an existing user or computer, with an UPDATE",
            ("missing_owner",),
        ),
        Kind(
            "orphan_row",
            (50,),
            "exported",
            "rows that belong to nodes, groups, users or computers that are gone",
            "row that belongs to a node, group, user or computer that is gone",
            "AiiDA's own step fails at some, and skips the others: a dump of the result "
            "cannot be restored.",
            queries=("orphan_row", "orphan_log"),
        ),
    )
}
"""The kinds by their codes, in the order of the steps."""
