"""What a check finds in a database before it is migrated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Action", "Finding", "MigrationCheck"]

Action: TypeAlias = Literal["exported", "repairable", "refused"]
"""What a migration does with a finding.

``exported``: it writes the rows to a file and continues. ``repairable``: it repairs them if asked
to, and refuses otherwise. ``refused``: it does not start, since what to do needs judgement.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a database that would stop a step of a migration, or be lost in it.

    Attributes:
        code: What kind of thing it is, such as ``group_label_clash``; all kinds are listed in
            ``aiidadb/docs/migrations.md``.
        step: The step that would stop at it or drop it; empty where no step could begin.
        message: What was found and where, and what AiiDA does with it.
        pks: The first ten rows by their ids, ascending; of files, the nodes of the first ten; empty
            where it is neither that was found.
        count: How many there are: rows, files or objects.
        action: What a migration does with it.
        remedy: What to do about it, a statement of SQL where there is one; empty where nothing has
            to be done.
    """

    code: str
    step: str
    message: str
    pks: tuple[int, ...]
    count: int
    action: Action
    remedy: str


@dataclass(frozen=True, slots=True)
class MigrationCheck:
    """All that was found.

    Attributes:
        findings: In the order of the steps that they concern.
    """

    findings: tuple[Finding, ...] = ()

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Those that a migration refuses in any case."""
        return self._of("refused")

    @property
    def repairable(self) -> tuple[Finding, ...]:
        """Those that a migration refuses unless asked to repair them."""
        return self._of("repairable")

    @property
    def exported(self) -> tuple[Finding, ...]:
        """Those that a migration writes to files."""
        return self._of("exported")

    def _of(self, action: Action) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.action == action)
