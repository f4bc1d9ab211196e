"""Fills a database with campaigns of band-structure workflows, in the shape AiiDA gives them.

For demos and benchmarks: any number of nodes, the same for the same seed on every server, both
schema lines. What a material goes through:

- its structure is rescaled and relaxed (a work chain that calls a base work chain that calls
  ``pw.x``), or a work chain finds that it is relaxed and returns the structure that it was given;
- a work chain makes the structure primitive and calculates its bands: two links from bands to
  structure;
- bands of a tight-binding model, bands of phonons, and bands that functions align and merge: four
  to eight links, over links of every type.

Later blocks take the relaxed structures of earlier ones up again. Files are not made.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from aiidadb.connecting.session import NO_TIME_LIMIT
from aiidadb.criteria.node_criteria import translate_node_type
from aiidadb.demo.compounds import COMPOUNDS
from aiidadb.exceptions import DatabaseNotEmpty, InvalidInputError
from aiidadb.sql import load_queries, sql_directory
from aiidadb.version.bookkeeping import read_bookkeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import asyncpg

    from aiidadb.demo.compounds import Json

__all__ = ["GROUPS", "UNTIL", "USERS", "Campaign", "fill_with_campaign"]

_QUERIES: Final = load_queries(sql_directory() / "demo")

USERS: Final = ("ada@epfl.ch", "emmy.noether@example.org", "kathleen.lonsdale@example.org")
"""The emails of those who work; the first has the most nodes."""

GROUPS: Final = (
    "semiconductors", "oxides", "metals", "perovskites", "layered", "alloys", "phonons-2024",
    "review", "teaching", "high-pressure", "database-v2", "favourites",
)  # fmt: skip
"""The labels of the groups; the last holds some of what is in the others."""

UNTIL: Final = datetime.datetime(2025, 6, 30, 12, tzinfo=datetime.UTC)
"""When the last node was made, where nothing else is asked for."""

_COMPUTERS: Final = ("alps", "jura", "leman")
_ELEMENTS: Final = tuple(sorted({element for one in COMPOUNDS for element in one.elements}))
_STRAINS: Final = (0.0, 0.02, 0.004, 0.004)  # as found, rescaled, relaxed, primitive
_CYCLE: Final = 32  # blocks until the materials come again
_GENERATIONS: Final = 4  # how often in a row they start from what was relaxed before
_CHUNK: Final = 50_000  # nodes in one statement
_MATERIALS: Final = 4  # in a block
_COMMENT_EVERY: Final = 211  # one comment on so many nodes
_LOG_EVERY: Final = 3  # one log on so many workflows, more or less

_CALCJOB: Final = "process.calculation.calcjob.CalcJobNode."
_CALCFUNCTION: Final = "process.calculation.calcfunction.CalcFunctionNode."
_WORKCHAIN: Final = "process.workflow.workchain.WorkChainNode."
_BANDS: Final = "data.core.array.bands.BandsData."
_DICT: Final = "data.core.dict.Dict."
_FOLDER: Final = "data.core.folder.FolderData."
_KPOINTS: Final = "data.core.array.kpoints.KpointsData."
_REMOTE: Final = "data.core.remote.RemoteData."
_SINGLEFILE: Final = "data.core.singlefile.SinglefileData."
_STRUCTURE: Final = "data.core.structure.StructureData."
_TRAJECTORY: Final = "data.core.array.trajectory.TrajectoryData."
_UPF: Final = "data.core.upf.UpfData."

_PHASE: Final = {"found": 0, "rescaled": 1, "relaxed": 2, "primitive": 3}


@dataclass(frozen=True, slots=True)
class Campaign:
    """What was put into a database.

    Attributes:
        nodes: Number of nodes.
        links: Number of links.
        bands: Number of ``BandsData`` nodes.
        structures: Number of ``StructureData`` nodes.
        members: Number of memberships in groups.
        comments: Number of comments.
        logs: Number of logs.
    """

    nodes: int
    links: int
    bands: int
    structures: int
    members: int
    comments: int
    logs: int


@dataclass(frozen=True, slots=True)
class _Slot:
    """A node of the template."""

    number: int
    role: str
    owner: int
    material: int
    phase: int
    minutes: float
    computer: bool
    node_type: str
    process_type: str | None
    label: str
    attributes: dict[str, Json]


@dataclass(frozen=True, slots=True)
class _Link:
    """A link of the template; ``origin`` says what ``input`` counts."""

    origin: str
    output: int
    input: int
    material: int
    type: str
    label: str


@dataclass
class _Template:
    """Slots and links that come again in every block."""

    slots: list[_Slot] = field(default_factory=list)
    links: list[_Link] = field(default_factory=list)
    material: int = 0

    def slot(
        self,
        node_type: str,
        role: str = "data",
        *,
        label: str = "",
        owner: int | None = None,
        phase: str = "found",
        process_type: str | None = None,
        attributes: Mapping[str, Json] | None = None,
        minutes: float = 0.01,
        computer: bool = False,
    ) -> int:
        """Add a node; gives its number."""
        number = len(self.slots)
        self.slots.append(
            _Slot(
                number, role, number if owner is None else owner, self.material, _PHASE[phase],
                minutes, computer, node_type, process_type, label, dict(attributes or {}),
            )
        )  # fmt: skip
        return number

    def link(self, output: int, kind: str, /, **inputs: int) -> None:
        """Add links of one type to a node from nodes of the same block, by label."""
        for label, given in inputs.items():
            self.link_from("block", output, kind, label, given)

    def link_from(self, origin: str, output: int, kind: str, label: str, given: int = 0) -> None:
        """Add a link whose input is not in the same block."""
        self.links.append(_Link(origin, output, given, self.material, kind, label))

    def link_shared(self, output: int, kind: str, label: str, name: str) -> None:
        """Add a link from one of the nodes that all blocks share."""
        self.link_from("shared", output, kind, label, _shared()[1][name])

    def structure(self, phase: str) -> int:
        return self.slot(_STRUCTURE, "structure", phase=phase, label=f" {phase}")

    def function(self, name: str, **inputs: int) -> int:
        number = self.slot(
            _CALCFUNCTION,
            "calcfunction",
            label=name,
            process_type=f"aiida_bands.functions.{name}",
            attributes=_process(name)
            | {"function_name": name, "function_namespace": "aiida_bands"},
            minutes=0.1,
        )
        self.link(number, "input_calc", **inputs)
        return number

    def workchain(
        self, name: str, entry_point: str, caller: int | None = None, **inputs: int
    ) -> int:
        number = self.slot(
            _WORKCHAIN,
            "workchain",
            label=name,
            process_type=f"aiida.workflows:{entry_point}",
            attributes=_process(name) | {"stepper_state_info": "4:results"},
            minutes=90,
        )
        self.link(number, "input_work", **inputs)
        if caller is not None:
            self.link(number, "call_work", **{f"CALL_{name}": caller})
        return number

    def pw_workchain(self, name: str, entry_point: str, structure: int) -> int:
        """One that somebody submits with a structure and its settings."""
        settings = self.slot(_DICT, attributes={"clean_workdir": False})
        number = self.workchain(name, entry_point, structure=structure, parameters=settings)
        self.link_shared(number, "input_work", "code", "pw")
        return number

    def pw_base(self, caller: int, structure: int) -> int:
        """One that such a work chain calls for each calculation."""
        settings = self.slot(_DICT, attributes=_PARAMETERS)
        number = self.workchain(
            "PwBaseWorkChain",
            "quantumespresso.pw.base",
            caller,
            structure=structure,
            parameters=settings,
        )
        self.link_shared(number, "input_work", "code", "pw")
        return number

    def calculation(
        self,
        code: str,
        caller: int,
        *,
        pseudos: bool = False,
        parameters: bool = True,
        exit_status: int = 0,
        **inputs: int,
    ) -> int:
        """A calculation on a computer, with its own parameters; its outputs are others' subject."""
        if parameters:
            inputs["parameters"] = self.slot(_DICT, attributes=_PARAMETERS)
        name = f"{code.capitalize()}Calculation"
        number = self.slot(
            _CALCJOB,
            "calcjob",
            label=name,
            process_type=f"aiida.calculations:quantumespresso.{code}",
            attributes={
                **_process(name),
                **_JOB,
                "parser_name": f"quantumespresso.{code}",
                "exit_status": exit_status,
            },
            minutes=30,
            computer=True,
        )
        self.link(number, "input_calc", **inputs)
        self.link_shared(number, "input_calc", "code", code)
        if pseudos:
            self.link_from("pseudos", number, "input_calc", "pseudos__")
        self.link(number, "call_calc", CALL=caller)
        return number

    def outputs(self, calculation: int, *, results: bool = True) -> int:
        """What every calculation leaves; gives the folder on the computer."""
        remote = self.slot(_REMOTE, "remote", owner=calculation, computer=True)
        retrieved = self.slot(_FOLDER)
        self.link(remote, "create", remote_folder=calculation)
        self.link(retrieved, "create", retrieved=calculation)
        if results:
            figures = self.slot(_DICT, "results", attributes={"energy_units": "eV"})
            self.link(figures, "create", output_parameters=calculation)
        return remote

    def bands(self, label: str, source: int, output: str) -> int:
        number = self.slot(_BANDS, "bands", label=label, attributes=_BANDS_ATTRIBUTES)
        self.link(number, "create", **{output: source})
        return number

    def count(self, role: str) -> int:
        return sum(slot.role == role for slot in self.slots)

    def slots_json(self, *, core_prefix: bool) -> str:
        """The slots for the database, spelt as it spells them."""
        return json.dumps(
            [asdict(slot) | _spelling(slot, core_prefix=core_prefix) for slot in self.slots]
        )


def _spelling(slot: _Slot, *, core_prefix: bool) -> dict[str, object]:
    if slot.role != "code":
        return {"node_type": translate_node_type(slot.node_type, core_prefix=core_prefix)}
    path, plugin = f"/opt/{slot.label}.x", f"quantumespresso.{slot.label}"
    texts = {"input_plugin": plugin, "append_text": "", "prepend_text": ""}
    if core_prefix:
        return {
            "node_type": "data.core.code.installed.InstalledCode.",
            "attributes": texts | {"filepath_executable": path, "use_double_quotes": False},
        }
    return {
        "node_type": "data.code.Code.",
        "attributes": texts | {"remote_exec_path": path, "is_local": False},
    }


def _process(name: str) -> dict[str, Json]:
    return {
        "process_label": name,
        "process_state": "finished",
        "exit_status": 0,
        "sealed": True,
        "version": {"core": "2.6.3", "plugin": "4.7.0"},
    }


_JOB: Final[Mapping[str, Json]] = {
    "withmpi": True,
    "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 36},
    "max_wallclock_seconds": 3600,
    "scheduler_state": "done",
    "input_filename": "aiida.in",
    "output_filename": "aiida.out",
    "retrieve_list": ["aiida.out", "./out/aiida.save/data-file-schema.xml"],
}
_PARAMETERS: Final[Mapping[str, Json]] = {
    "CONTROL": {"calculation": "scf", "tprnfor": True},
    "SYSTEM": {"ecutwfc": 60.0, "ecutrho": 480.0, "occupations": "smearing", "degauss": 0.02},
    "ELECTRONS": {"conv_thr": 4e-10, "mixing_beta": 0.4},
}
_PATH: Final[Mapping[str, Json]] = {
    "labels": ["GAMMA", "X", "W", "K", "GAMMA", "L"],
    "label_numbers": [0, 20, 30, 37, 58, 75],
    "array|kpoints": [76, 3],
    "cell": [[0.0, 2.7, 2.7], [2.7, 0.0, 2.7], [2.7, 2.7, 0.0]],
    "pbc1": True,
    "pbc2": True,
    "pbc3": True,
}
_BANDS_ATTRIBUTES: Final[Mapping[str, Json]] = {
    **_PATH,
    "array|bands": [76, 16],
    "array|occupations": [76, 16],
    "units": "eV",
}
_CODES: Final = ("pw", "ph", "q2r", "matdyn", "wannier", "parse", "eigenvals")


@cache
def _shared() -> tuple[_Template, Mapping[str, int]]:
    """The nodes that all blocks share, and the pks of those that are asked for by name."""
    template = _Template()
    pks: dict[str, int] = {}
    for compound in range(len(COMPOUNDS)):
        # The compound is written as a negative material.
        template.material = -1 - compound
        pks[f"structure {compound}"] = 1 + template.slot(_STRUCTURE, "structure")
    template.material = 0
    for element in _ELEMENTS:
        pks[f"pseudo {element}"] = 1 + template.slot(
            _UPF, label=f"{element}.upf", attributes={"element": element}
        )
    for density in (4, 8):
        pks[f"mesh {density}"] = 1 + template.slot(
            _KPOINTS,
            label=f"{density}x{density}x{density}",
            attributes={"mesh": [density] * 3, "offset": [0.0, 0.0, 0.0]},
        )
    for code in _CODES:
        pks[code] = 1 + template.slot("", "code", label=code, computer=True)
    return template, pks


@cache
def _block() -> _Template:
    """Four materials and what is done with them."""
    template = _Template()
    for template.material in range(_MATERIALS):
        function, structure = _rescaled(template)
        relaxed = _relaxed(template, structure, already=template.material == 3)
        # Where the material was left a cycle ago, it is taken up.
        template.link_from("earlier", function, "input_calc", "structure", relaxed)
        scf, bands = _electron_bands(template, relaxed)
        if template.material in (0, 1, 3):
            phonons = _phonon_bands(template, scf, returned=template.material == 0)
            if template.material == 1:
                _merged(template, bands, phonons)
        if template.material in (0, 1, 2):
            model = _model_bands(template, scf)
            if template.material == 2:
                _aligned(template, model)
    # What somebody brought from elsewhere has no structure.
    template.slot(_BANDS, "bands", label="photoemission", attributes=_BANDS_ATTRIBUTES)
    return template


def _rescaled(block: _Template) -> tuple[int, int]:
    function = block.function("rescale_structure")
    structure = block.structure("rescaled")
    block.link(structure, "create", result=function)
    return function, structure


def _relaxed(block: _Template, structure: int, *, already: bool) -> int:
    workflow = block.pw_workchain("PwRelaxWorkChain", "quantumespresso.pw.relax", structure)
    base = block.pw_base(workflow, structure)
    if block.material % 2:
        # The first attempt ran out of time.
        failed = block.calculation("pw", base, exit_status=400, structure=structure)
        block.outputs(failed, results=False)
    calculation = block.calculation("pw", base, pseudos=True, structure=structure)
    block.link_shared(calculation, "input_calc", "kpoints", "mesh 4")
    if already:
        # A workflow may return what it was given: provenance then has a cycle.
        block.link(structure, "return", output_structure=workflow)
        block.outputs(calculation)
        return structure
    relaxed = block.structure("relaxed")
    block.link(relaxed, "create", output_structure=calculation)
    block.link(relaxed, "return", output_structure=workflow)
    block.outputs(calculation)
    trajectory = block.slot(
        _TRAJECTORY,
        attributes={"array|positions": [7, 2, 3], "array|steps": [7], "symbols": ["Si", "Si"]},
    )
    block.link(trajectory, "create", output_trajectory=calculation)
    return relaxed


def _electron_bands(block: _Template, structure: int) -> tuple[int, int]:
    """The folder of the ground state on the computer, and the bands: two links away."""
    workflow = block.pw_workchain("PwBandsWorkChain", "quantumespresso.pw.bands", structure)
    function = block.function("seekpath_structure_analysis", structure=structure)
    block.link(function, "call_calc", CALL_seekpath=workflow)
    primitive = block.structure("primitive")
    path = block.slot(_KPOINTS, attributes=_PATH)
    symmetry = block.slot(_DICT, attributes={"spacegroup_number": 225, "has_inversion": True})
    block.link(primitive, "create", primitive_structure=function)
    block.link(path, "create", explicit_kpoints=function)
    block.link(symmetry, "create", parameters=function)

    base = block.pw_base(workflow, primitive)
    calculation = block.calculation("pw", base, pseudos=True, structure=primitive)
    block.link_shared(calculation, "input_calc", "kpoints", "mesh 8")
    scf = block.outputs(calculation)

    base = block.pw_base(workflow, primitive)
    calculation = block.calculation(
        "pw", base, structure=primitive, kpoints=path, parent_folder=scf
    )
    block.outputs(calculation)
    bands = block.bands("electrons", calculation, "output_band")
    block.link(bands, "return", band_structure=workflow)
    return scf, bands


def _phonon_bands(block: _Template, scf: int, *, returned: bool) -> int:
    """Starts from a folder, not from a structure: four links away if returned, else six."""
    workflow = block.workchain("PhononWorkChain", "quantumespresso.phonons", parent_folder=scf)
    base = block.workchain("PhBaseWorkChain", "quantumespresso.ph.base", workflow)
    calculation = block.calculation("ph", base, parent_folder=scf)
    block.link_shared(calculation, "input_calc", "qpoints", "mesh 4")
    dynamical = block.outputs(calculation)
    base = block.workchain("MatdynBaseWorkChain", "quantumespresso.matdyn.base", workflow)
    calculation = block.calculation("q2r", base, parameters=False, parent_folder=dynamical)
    block.outputs(calculation)
    constants = block.slot(_SINGLEFILE, attributes={"filename": "real_space_force_constants.dat"})
    block.link(constants, "create", force_constants=calculation)
    calculation = block.calculation("matdyn", base, parameters=False, force_constants=constants)
    block.outputs(calculation)
    bands = block.bands("phonons", calculation, "output_phonon_bands")
    if returned:
        block.link(bands, "return", phonon_bands=workflow)
    return bands


def _model_bands(block: _Template, scf: int) -> int:
    """Bands of a tight-binding model: eight links by data alone, six by its work chains."""
    workflow = block.workchain("TbExtractionWorkChain", "tbextraction.extract", scf=scf)
    calculation = block.calculation("wannier", workflow, parent_folder=scf)
    block.outputs(calculation)
    folder = len(block.slots) - 2
    calculation = block.calculation("parse", workflow, parameters=False, folder=folder)
    block.outputs(calculation)
    model = block.slot(_SINGLEFILE, attributes={"filename": "model.hdf5"})
    block.link(model, "create", tb_model=calculation)
    step = block.workchain("EigenvalsWorkChain", "tbextraction.eigenvals", workflow)
    calculation = block.calculation("eigenvals", step, parameters=False, tb_model=model)
    block.outputs(calculation)
    return block.bands("model", calculation, "bands")


def _aligned(block: _Template, bands: int) -> None:
    """Moved to a common zero of energy."""
    function = block.function("align_bands", bands=bands)
    block.bands("aligned", function, "result")


def _merged(block: _Template, electrons: int, phonons: int) -> None:
    """Two in one figure, aligned before."""
    function = block.function("merge_bands", electrons=electrons, phonons=phonons)
    merged = block.bands("merged", function, "result")
    _aligned(block, merged)


async def fill_with_campaign(
    connection: asyncpg.Connection,
    *,
    nodes: int = 140_000,
    seed: int = 0,
    until: datetime.datetime = UNTIL,
    progress: Callable[[int, int], object] | None = None,
) -> Campaign:
    """Fill a database that has AiiDA's schema and no node yet, in one transaction.

    Args:
        connection: To the database, of the django line's head or of the main line's.
        nodes: How many; about one in 18 will be bands, and there are about 1.56 times as many
            links. At least 400.
        seed: From 0 on; the same seed gives the same nodes, other than seven others.
        until: When the last node is made; the first is made nine months before.
        progress: Called now and then with the nodes made and those in all.

    Returns:
        How much of what was made.

    Raises:
        DatabaseNotEmpty: There are nodes already.
        InvalidInputError: The number of nodes or the seed cannot be used.
        SchemaError: There is no AiiDA schema.
    """
    least = len(_shared()[0].slots) + len(_block().slots)
    if not least <= nodes < 2**31:
        raise InvalidInputError(f"a campaign has at least {least} nodes, not {nodes}")
    if not 0 <= seed < 2**30:
        raise InvalidInputError(f"the seed must lie between 0 and {2**30 - 1}, not {seed}")
    if until.tzinfo is None:
        raise InvalidInputError(f"{until!r} has no time zone: give it one")
    version = (await read_bookkeeping(connection)).version()
    async with connection.transaction():
        if not await connection.fetchval(_QUERIES["campaign_is_empty"].text):
            raise DatabaseNotEmpty("a campaign goes into a database without nodes: take a new one")
        filler = _Filler(connection, version.has_core_prefix, nodes, seed, until, progress)
        campaign = await filler.fill()
    if progress is not None:
        progress(nodes, nodes)
    return campaign


@dataclass
class _Filler:
    """One database being filled."""

    connection: asyncpg.Connection
    core_prefix: bool
    nodes: int
    seed: int
    until: datetime.datetime
    progress: Callable[[int, int], object] | None
    users: list[int] = field(default_factory=list)
    computers: list[int] = field(default_factory=list)

    async def fill(self) -> Campaign:
        shared, block, loose = _shared()[0], _block(), _Template()
        first_pk = 1 + len(shared.slots)
        number, rest = divmod(self.nodes - len(shared.slots), len(block.slots))
        await self._people_and_machines()
        await self._nodes(shared, range(1), 1)
        links = members = 0
        grouped = [slot.number for slot in block.slots if slot.role in {"bands", "structure"}]
        step = max(1, _CHUNK // len(block.slots))
        for start in range(0, number, step):
            blocks = range(start, min(start + step, number))
            await self._nodes(block, blocks, first_pk)
            links += await self._links(block, blocks, first_pk)
            place = blocks.start, blocks.stop - 1, len(block.slots), first_pk
            members += await self._insert("campaign_members", [*GROUPS], grouped, *place)
            if self.progress is not None:
                self.progress(first_pk - 1 + blocks.stop * len(block.slots), self.nodes)
        # Structures that nobody has worked on yet make the number of nodes what was asked for.
        loose.structure("found")
        await self._nodes(loose, range(rest), self.nodes - rest + 1)
        await self.connection.fetch(_QUERIES["campaign_sequence"].text, self.nodes)
        comments = await self._insert("campaign_comments", _COMMENT_EVERY, self.seed)
        logs = await self._insert("campaign_logs", _WORKCHAIN, _LOG_EVERY, self.seed)
        for table in ("db_dbnode", "db_dblink", "db_dbgroup_dbnodes"):
            await self.connection.execute(f"analyze {table}")
        structures = shared.count("structure") + number * block.count("structure") + rest
        return Campaign(
            self.nodes, links, number * block.count("bands"), structures, members, comments, logs
        )

    async def _people_and_machines(self) -> None:
        await self._insert("campaign_users", [*USERS])
        prefix = "core." if self.core_prefix else ""
        await self._insert("campaign_computers", [*_COMPUTERS], prefix, self.seed)
        rows = await self.connection.fetch(_QUERIES["campaign_user_pks"].text, [*USERS])
        self.users = [row["pk"] for row in rows]
        rows = await self.connection.fetch(
            _QUERIES["campaign_computer_pks"].text, [*_COMPUTERS], self.seed
        )
        self.computers = [row["pk"] for row in rows]
        await self._insert("campaign_groups", [*GROUPS], self.seed, self.users[0], self.until)

    async def _nodes(self, template: _Template, blocks: range, first_pk: int) -> None:
        await self._insert(
            "campaign_nodes",
            template.slots_json(core_prefix=self.core_prefix),
            _structures_json(),
            blocks.start,
            blocks.stop - 1,
            len(template.slots),
            first_pk,
            self.seed,
            self.users,
            self.computers,
            self.until,
            self.nodes,
            _CYCLE,
        )

    async def _links(self, template: _Template, blocks: range, first_pk: int) -> int:
        return await self._insert(
            "campaign_links",
            json.dumps([asdict(link) for link in template.links]),
            _compounds_json(),
            blocks.start,
            blocks.stop - 1,
            len(template.slots),
            first_pk,
            self.seed,
            _CYCLE,
            _GENERATIONS,
        )

    async def _insert(self, query: str, *arguments: object) -> int:
        """Put the rows that a question gives into its table; gives their number."""
        table, columns = _TABLES[query]
        # The queries name columns as the main line does.
        targets = {column: column for column in columns.split()}
        if not self.core_prefix:
            targets.pop("repository_metadata", None)
            if table == "db_dbcomputer":
                targets["label"] = "name"
        status: str = await self.connection.execute(
            f"insert into {table} ({', '.join(targets.values())}) "  # noqa: S608 - names from here
            f"select {', '.join(targets)} from ({_QUERIES[query].text}) as made",
            *arguments,
            timeout=NO_TIME_LIMIT,
        )
        return int(status.rpartition(" ")[2])


_TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "campaign_users": ("db_dbuser", "email first_name last_name institution"),
    "campaign_computers": (
        "db_dbcomputer",
        "uuid label hostname description transport_type scheduler_type metadata",
    ),
    "campaign_groups": ("db_dbgroup", "uuid label type_string time description user_id extras"),
    "campaign_nodes": (
        "db_dbnode",
        """
        id uuid node_type label description ctime mtime dbcomputer_id user_id process_type
        attributes extras repository_metadata
        """,
    ),
    "campaign_links": ("db_dblink", "input_id output_id label type"),
    "campaign_members": ("db_dbgroup_dbnodes", "dbnode_id dbgroup_id"),
    "campaign_comments": ("db_dbcomment", "uuid dbnode_id ctime mtime user_id content"),
    "campaign_logs": ("db_dblog", "time loggername levelname message metadata dbnode_id uuid"),
}


@cache
def _structures_json() -> str:
    return json.dumps(
        [
            {
                "compound": number,
                "phase": phase,
                "name": compound.name,
                "attributes": compound.attributes(strain),
            }
            for number, compound in enumerate(COMPOUNDS)
            for phase, strain in enumerate(_STRAINS)
        ]
    )


@cache
def _compounds_json() -> str:
    pks = _shared()[1]
    return json.dumps(
        [
            {
                "number": number,
                "structure": pks[f"structure {number}"],
                "pseudos": {element: pks[f"pseudo {element}"] for element in compound.elements},
            }
            for number, compound in enumerate(COMPOUNDS)
        ]
    )
