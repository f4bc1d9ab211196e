"""What a vertex is asked for by: AiiDA's strings for types, or aiida-core's classes.

The classes are recognised by what they are called and where they come from: aiida-core is never
imported here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiidadb.exceptions import InvalidInputError, InvalidTypeError
from aiidadb.messages import closest, quote, suggest
from aiidadb.querybuilder.entities import ENTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EntityType", "entity_type_of", "type_filters"]

_GROUP_PREFIX: Final = "group."
_ABSTRACT_CODE: Final = "data.core.code.abstract.AbstractCode."
_PLAIN_CLASSES: Final[Mapping[str, str]] = {
    "Computer": "computer",
    "User": "user",
    "AuthInfo": "authinfo",
    "Comment": "comment",
    "Log": "log",
}
_NOT_NODES: Final = frozenset(ENTITIES) - {"node", "group"}

# AiiDA's own, as AiiDA 2.x stores them, for suggestions.
_NODE_TYPES: Final = (
    "data.Data.",
    "data.core.array.ArrayData.",
    "data.core.array.bands.BandsData.",
    "data.core.array.kpoints.KpointsData.",
    "data.core.array.projection.ProjectionData.",
    "data.core.array.trajectory.TrajectoryData.",
    "data.core.array.xy.XyData.",
    "data.core.bool.Bool.",
    "data.core.cif.CifData.",
    "data.core.code.Code.",
    "data.core.code.containerized.ContainerizedCode.",
    "data.core.code.installed.InstalledCode.",
    "data.core.code.portable.PortableCode.",
    "data.core.dict.Dict.",
    "data.core.enum.EnumData.",
    "data.core.float.Float.",
    "data.core.folder.FolderData.",
    "data.core.int.Int.",
    "data.core.jsonable.JsonableData.",
    "data.core.list.List.",
    "data.core.orbital.OrbitalData.",
    "data.core.remote.RemoteData.",
    "data.core.singlefile.SinglefileData.",
    "data.core.str.Str.",
    "data.core.structure.StructureData.",
    "data.core.upf.UpfData.",
    "process.ProcessNode.",
    "process.calculation.CalculationNode.",
    "process.calculation.calcfunction.CalcFunctionNode.",
    "process.calculation.calcjob.CalcJobNode.",
    "process.workflow.WorkflowNode.",
    "process.workflow.workchain.WorkChainNode.",
    "process.workflow.workfunction.WorkFunctionNode.",
)

_ROOTS: Final = ("data", "process")
_CORE: Final = "data.core"
"""What all of AiiDA's own types of data begin with, and no type is for."""

_PYTHON_PACKAGES: Final = frozenset({"aiida", "orm"})

# What is given in place of a type: the package or class of one, or an entity in the plural.
_MEANT: Final[Mapping[str, str]] = {
    **{part: one for one in _NODE_TYPES for part in one[:-1].rsplit(".", 1)},
    **{f"{entity}s": entity for entity in sorted(_NOT_NODES)},
    "group": "group.core",
    "groups": "group.core",
}

_ENTITY_NAMES: Final = frozenset(
    {"group", "groups", "node", "nodes", *(f"{entity}s" for entity in _NOT_NODES)}
)
"""What is given for an entity, and is not its name here."""


@dataclass(frozen=True, slots=True)
class EntityType:
    """What a vertex holds.

    Attributes:
        entity: AiiDA's ``orm_base``.
        text: The type as the dictionary has it.
        process_type: What a class of processes is stored as.
    """

    entity: str
    text: str
    process_type: str | None = None


def entity_type_of(given: object, entity: str | None = None) -> EntityType:
    """The type that a string or a class stands for.

    Args:
        given: A string of AiiDA's, or a class of aiida-core's.
        entity: The ``orm_base``, if that is known.

    Raises:
        InvalidInputError: There is no such type.
        InvalidTypeError: It is neither a string nor a class.
    """
    if isinstance(given, str):
        return _of_text(given, entity)
    if isinstance(given, type):
        return _of_class(given)
    raise InvalidTypeError(f"an entity type is a text or a class, not {quote(given)}")


def type_filters(types: Sequence[EntityType], *, subclassing: bool) -> dict[str, object]:
    """The filters that AiiDA adds to a vertex for its types."""
    entity = types[0].entity
    if entity == "group":
        return {"type_string": _any([_group_filter(one, subclassing) for one in types])}
    if entity != "node":
        return {}
    filters: dict[str, object] = {
        "node_type": _any([_node_filter(one, subclassing) for one in types])
    }
    processes = [
        _process_filter(one.process_type, subclassing)
        for one in types
        if one.process_type is not None
    ]
    if processes:
        filters["process_type"] = processes[0] if len(types) == 1 else {"or": processes}
    return filters


@lru_cache(maxsize=256)
def _of_text(text: str, entity: str | None) -> EntityType:
    lower = text.lower()
    if entity is None:
        if lower.startswith(_GROUP_PREFIX):
            entity = "group"
        else:
            entity = lower if lower in _NOT_NODES else "node"
    if entity == "node":
        _require_node_type(text)
    elif entity == "group" and not lower.startswith(_GROUP_PREFIX):
        raise InvalidInputError(
            f"{quote(text)} is not a group type", advice="give one such as 'group.core'"
        )
    elif entity not in ENTITIES:
        raise InvalidInputError(
            f"{quote(entity)} is not an entity",
            advice=f"give one of {', '.join(map(quote, ENTITIES))}",
        )
    return EntityType(entity, text if entity in ("node", "group") else entity)


def _require_node_type(text: str) -> None:
    if text and (not text.endswith(".") or text.count(".") == 1):
        is_node_type = text.partition(".")[0].lower() not in _ENTITY_NAMES
        raise InvalidInputError(
            f"{quote(text)} is not {'a node type' if is_node_type else 'an entity'}",
            advice=_what_was_meant(text)
            or "write it as AiiDA stores it, such as 'data.core.structure.StructureData.', or for "
            "groups 'group.core'",
        )


def _what_was_meant(text: str) -> str:
    name = text.rstrip(".")
    if name.startswith(f"{_ROOTS[0]}.") and _CORE.startswith(name):  # no type is more similar
        return (
            "give the type of one class, such as 'data.core.structure.StructureData.', or "
            "'data.Data.' for all data"
        )
    package, _, last = name.rpartition(".")
    if last[:1].isupper() and package.startswith(_ROOTS):  # all but the dot, also a plugin's
        return suggest(text, f"{name}.")
    if package.partition(".")[0] in _PYTHON_PACKAGES:  # as the class is imported
        name = last
        if last in _PLAIN_CLASSES:
            return suggest(text, _PLAIN_CLASSES[last])
    if name.lower() in ("node", "nodes"):
        return "'' stands for nodes of every type"
    known = name.lower() if name.lower() in _ENTITY_NAMES else name
    similar = known if known in _MEANT else _similar(name)
    return "" if similar is None else suggest(text, _MEANT.get(similar, similar))


def _similar(name: str) -> str | None:
    """What is meant by a name with a slip, which is not in what most types begin with."""
    known = [*_NODE_TYPES, *_MEANT]
    begin = f"{_CORE}."
    if not name.startswith(begin):
        return closest(name, known)
    ends = {one.removeprefix(begin): one for one in known if one.startswith(begin)}
    return ends.get(closest(name.removeprefix(begin), ends) or "")


def _of_class(given: type) -> EntityType:
    for base in given.__mro__:
        if base.__module__.partition(".")[0] != "aiida":
            continue
        name = base.__name__
        if name == "Node":
            return _of_text(_text_of(given, "class_node_type"), "node")
        if name == "Group":
            return _of_text(_GROUP_PREFIX + _text_of(given, "_type_string"), "group")
        if name in _PLAIN_CLASSES:
            return EntityType(_PLAIN_CLASSES[name], _PLAIN_CLASSES[name])
        if name == "Process":
            node_class = getattr(given, "_node_class", None)
            build = getattr(given, "build_process_type", None)
            if isinstance(node_class, type) and callable(build):
                node = _of_class(node_class)
                return EntityType("node", node.text, str(build()))
    raise InvalidInputError(f"{quote(given)} is not a class of what AiiDA stores")


def _text_of(given: type, attribute: str) -> str:
    text = getattr(given, attribute, None)
    if not isinstance(text, str):
        raise InvalidInputError(f"{quote(given)} is not registered with AiiDA as an entry point")
    return text


def _any(filters: list[dict[str, object]]) -> dict[str, object]:
    return filters[0] if len(filters) == 1 else {"or": filters}


def _node_filter(one: EntityType, subclassing: bool) -> dict[str, object]:
    if not subclassing:
        return {"==": one.text}
    if one.text == _ABSTRACT_CODE:  # its entry point stands beside those of its subclasses
        return {"like": "data.core.code.%"}
    return {"like": f"{_escaped(_without_class(one.text))}%"}


def _without_class(text: str) -> str:
    return f"{text.rsplit('.', 2)[0]}." if text else ""


def _group_filter(one: EntityType, subclassing: bool) -> dict[str, object]:
    # Clients of aiida-restapi write the dot that only types of nodes end with.
    name = one.text[len(_GROUP_PREFIX) :].removesuffix(".")
    if not subclassing:
        return {"==": name}
    return {"like": "%" if name == "core" else f"{_escaped(name)}%"}


def _process_filter(process_type: str, subclassing: bool) -> dict[str, object]:
    if not subclassing:
        return {"==": process_type}
    if ":" in process_type:  # an entry point, whose subclasses are behind another dot
        pattern = f"{_escaped(process_type)}.%"
    elif process_type.startswith("aiida.engine"):  # whatever has that type of node
        return {"like": "%"}
    else:  # AiiDA's pattern, which matches nothing: others of the package are not subclasses
        pattern = f"{_escaped(process_type.rsplit('.', 2)[0])}."
    return {"or": [{"==": process_type}, {"like": pattern}]}


def _escaped(text: str) -> str:
    return text.replace("%", "\\%").replace("_", "\\_")
