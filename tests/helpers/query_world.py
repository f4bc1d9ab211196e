"""A small database of every entity, made by aiida-core, for questions that it is asked too."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiida.storage.psql_dos.backend import PsqlDosBackend

__all__ = ["ODD", "PW", "fill_world"]

PW: Final = "aiida.calculations:qe.pw"

ODD: Final[dict[str, Any]] = {
    "": "empty",
    " ": {"": 1},
    "$1": "$2",
    "100%": "100% of it",
    "%(x)s": 1.5,
    "back\\slash": "a\\b",
    "it's": 'it\'s "quoted"',
    'quote"{': {'}"': "c"},
    "a,b": [1, {"c,d": 2}],
    "ünï ✓ 日本": "é ✓",
    "NULL": None,
    "0": True,
    "a--b;": ":colon",
    "line\nbreak\t": "x\ny",
}
"""Extras whose keys and values are all that a text can be."""


def fill_world(storage: PsqlDosBackend) -> None:
    """Put in structures, calculations in chains and diamonds, groups, computers, comments, logs."""
    from aiida import orm
    from aiida.common.links import LinkType

    ada = orm.User(email="ada@epfl.ch", first_name="Ada", backend=storage).store()
    storage.reset_default_user()
    emmy = orm.User(email="emmy@example.org", first_name="Emmy", backend=storage).store()
    common: dict[str, Any] = {"backend": storage}
    computers = []
    hosts = (("daint", "daint.cscs.ch"), ("local_host", "localhost"))
    for number, (label, hostname) in enumerate(hosts):
        computers.append(
            orm.Computer(
                label=label,
                hostname=hostname,
                transport_type="core.local",
                scheduler_type="core.direct",
                metadata={"workdir": f"/scratch/{label}", "cores": len(label), "gpus": number > 0},
                backend=storage,
            ).store()
        )
    orm.AuthInfo(computers[0], ada, backend=storage).store()
    second = orm.AuthInfo(computers[1], emmy, backend=storage)
    second.enabled = False
    second.store()
    code = orm.InstalledCode(
        computer=computers[0], filepath_executable="/bin/true", label="pw", user=ada, **common
    ).store()
    structures = []
    for number, formula in enumerate(("Si", "SiO2", "Si", "GaAs")):
        one = orm.StructureData(cell=[[3, 0, 0], [0, 3, 0], [0, 0, 3]], user=ada, **common)
        one.append_atom(position=(0, 0, 0), symbols="Si")
        one.label = f"structure {number}"
        one.base.extras.set_many(
            {
                "formula": formula,
                "number": number,
                "half": number + 0.5,
                "flag": number % 2 == 0,
                "odd,key": number,
                'quote"{': "q",
                "nothing": None,
                "list": [1, 2, {"deep": "x%y_z"}][: number + 1],
                "optimade": {"elements": ["Si", "O"][: number + 1], "nelements": number + 1},
                "when": f"2024-0{number + 1}-01T00:00:00+00:00",
            }
        )
        if number % 2:
            one.base.extras.set("odd", ODD)
        if number:
            one.base.extras.set("only_some", {"a": {"b": number}})
        structures.append(one.store())
    bands = []
    for number, structure in enumerate(structures):
        above: Any = structure
        for level in range(2):
            job = orm.CalcJobNode(
                computer=computers[number % 2],
                process_type=PW if number % 2 else "aiida.calculations:core.arithmetic.add",
                user=ada if number % 2 else emmy,
                **common,
            )
            job.label = f"calculation {number}.{level}"
            job.base.links.add_incoming(above, LinkType.INPUT_CALC, "structure")
            job.base.links.add_incoming(code, LinkType.INPUT_CALC, "code")
            job.base.attributes.set_many(
                {
                    "process_state": ("finished", "finished", "excepted", "waiting")[number],
                    "exit_status": (0, 410, None, 0)[number],
                    "process_label": "PwCalculation",
                }
            )
            job.store()
            first = orm.Dict(
                {"energy": -1.5 * number, "converged": bool(level)}, user=ada, **common
            )
            first.base.links.add_incoming(job, LinkType.CREATE, "output_parameters")
            first.store()
            other = orm.FolderData(user=ada, **common)
            other.base.links.add_incoming(job, LinkType.CREATE, "retrieved")
            other.store()
            joining = orm.CalcFunctionNode(user=ada, **common)
            joining.base.links.add_incoming(first, LinkType.INPUT_CALC, "one")
            joining.base.links.add_incoming(other, LinkType.INPUT_CALC, "two")
            joining.base.attributes.set("process_state", "finished")
            joining.store()
            above = orm.Dict({"level": level}, user=ada, **common)
            above.base.links.add_incoming(joining, LinkType.CREATE, "result")
            above.store()
        band = orm.BandsData(user=emmy, **common)
        band.base.extras.set_many(
            {"band_gap": 0.5 * number, "at": f"2024-01-0{number + 1}T06:00:00"}
        )
        last = orm.CalcFunctionNode(user=ada, **common)
        last.base.links.add_incoming(above, LinkType.INPUT_CALC, "data")
        last.store()
        band.base.links.add_incoming(last, LinkType.CREATE, "bands")
        bands.append(band.store())
        orm.Log(
            datetime.datetime(2024, 1, 1 + number, tzinfo=datetime.UTC),
            "aiida.orm",
            "ERROR" if number % 2 else "REPORT",
            last.pk,
            message=f"message {number}",
            metadata={"lineno": number, "nested": {"x": [number]}, "at": "2024-01-01T12:00:00"},
            backend=storage,
        ).store()
        orm.Comment(last, emmy if number % 2 else ada, f"comment {number}", backend=storage).store()
    for label, members in (
        ("campaign/si", [structures[0], structures[2], bands[0]]),
        ("relax_all", structures),
        ("relaxed", bands[:2]),
    ):
        group = orm.Group(label=label, description=f"of {label}", user=ada, backend=storage).store()
        group.base.extras.set_many(
            {"at": "2024-02-03T04:05:06.789", "members": [len(members)], "odd": ODD}
        )
        group.add_nodes(list(members))
    upf = orm.UpfFamily(label="upf family", user=emmy, backend=storage).store()
    upf.base.extras.set("kind", "upf")
    workchain = orm.WorkChainNode(user=ada, **common)
    workchain.base.links.add_incoming(structures[1], LinkType.INPUT_WORK, "structure")
    workchain.store()
    bands[1].base.links.add_incoming(workchain, LinkType.RETURN, "bands")
