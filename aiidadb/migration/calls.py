"""The steps written in Python, by the names under which the SQL files call them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiidadb.migration.repository.move_files import move_repository
from aiidadb.migration.values.attributes import build_json_from_eav
from aiidadb.migration.values.exports import export_links, export_logs, export_workflows
from aiidadb.migration.values.trajectories import move_trajectory_symbols

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.migration.python_step import PythonStep

__all__ = ["CALLS"]

CALLS: Mapping[str, PythonStep] = {
    "build_json_from_eav": build_json_from_eav,
    "export_links": export_links,
    "export_logs": export_logs,
    "export_workflows": export_workflows,
    "move_repository": move_repository,
    "move_trajectory_symbols": move_trajectory_symbols,
}
"""Name in ``-- call: NAME`` of a step's SQL file to the function that the runner awaits there."""
