"""How databases spell what AiiDA 2.0 renamed, mostly the types of nodes.

``data.structure.StructureData.`` up to AiiDA 1.x is ``data.core.structure.StructureData.`` from 2.x
on: step 0049 of AiiDA's migrations gave its own entry points that prefix. Step 0048 renamed a
column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["Spelling", "spelling_of", "translate_node_type"]

# The entry points of `aiida.data` that got the prefix `core.` in 1.0.49: AiiDA's own, not plugins'.
_CORE_DATA: Final = (
    "array|base|bool|cif|code|dict|float|folder|int|list|numeric|orbital|remote|singlefile|str"
    "|structure|upf"
)
_OLD_NODE_TYPE: Final = re.compile(rf"data\.(?=(?:{_CORE_DATA})\.)")

# What else got it: old spelling to new, by the column that it stands in.
_RENAMED: Final[Mapping[str, Mapping[str, str]]] = {
    "process_type": {
        f"aiida.{group}:{name}": f"aiida.{group}:core.{name}"
        for group, name in (
            ("calculations", "arithmetic.add"),
            ("calculations", "templatereplacer"),
            ("workflows", "arithmetic.add_multiply"),
            ("workflows", "arithmetic.multiply_add"),
        )
    },
    "scheduler_type": {
        name: f"core.{name}" for name in ("direct", "lsf", "pbspro", "sge", "slurm", "torque")
    },
    "transport_type": {name: f"core.{name}" for name in ("local", "ssh")},
}


@dataclass(frozen=True)
class Spelling:
    """How a database spells what others spell differently.

    Attributes:
        texts: By the name of a column, how a text is spelled that is compared with it.
        columns: By table and name elsewhere, what a column is called.
    """

    texts: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], str] = field(default_factory=dict)


@lru_cache(maxsize=64)
def spelling_of(version: SchemaVersion) -> Spelling:
    """How a database of this version spells things."""
    new = version.has_core_prefix
    texts: dict[str, Callable[[str], str]] = {
        "node_type": partial(translate_node_type, core_prefix=new)
    }
    for column, renamed in _RENAMED.items():
        known = renamed if new else {one: other for other, one in renamed.items()}
        texts[column] = partial(_translate, known)
    here, elsewhere = ("label", "name") if version.has_computer_labels else ("name", "label")
    return Spelling(texts, {("db_dbcomputer", elsewhere): here})


def translate_node_type(node_type: str, *, core_prefix: bool) -> str:
    """Spell a node type, or a pattern of one, as a database of the other line does.

    Only AiiDA's own data types changed, in step 0049 of its migrations; a plugin's stay.
    """
    if core_prefix:
        return _OLD_NODE_TYPE.sub("data.core.", node_type)
    return node_type.replace("data.core.", "data.", 1)


def _translate(known: Mapping[str, str], text: str) -> str:
    return known.get(text, text)
