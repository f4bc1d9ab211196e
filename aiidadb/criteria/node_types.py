"""How databases spell node types, which step 0049 of AiiDA's migrations changed.

``data.structure.StructureData.`` up to AiiDA 1.x is ``data.core.structure.StructureData.`` from 2.x
on.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiidadb.version.schema_version import SchemaVersion

__all__ = ["spelling_of", "translate_node_type"]

# The entry points of `aiida.data` that got the prefix `core.` in 1.0.49: AiiDA's own, not plugins'.
_CORE_DATA: Final = (
    "array|base|bool|cif|code|dict|float|folder|int|list|numeric|orbital|remote|singlefile|str"
    "|structure|upf"
)
_OLD_NODE_TYPE: Final = re.compile(rf"data\.(?=(?:{_CORE_DATA})\.)")


def spelling_of(version: SchemaVersion) -> Callable[[str], str]:
    """How a database of this version spells a node type, or a pattern of one."""
    return partial(translate_node_type, core_prefix=version.has_core_prefix)


def translate_node_type(node_type: str, *, core_prefix: bool) -> str:
    """Spell a node type, or a pattern of one, as a database of the other line does.

    Only AiiDA's own data types changed, in step 0049 of its migrations; a plugin's stay.
    """
    if core_prefix:
        return _OLD_NODE_TYPE.sub("data.core.", node_type)
    return node_type.replace("data.core.", "data.", 1)
