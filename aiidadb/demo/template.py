"""What recurs in every block of a campaign: four materials, and what is done with them.

What a material goes through:

- its structure is rescaled and relaxed (a work chain that calls a base work chain that calls
  ``pw.x``), or a work chain finds that it is relaxed and returns the structure that it was given;
- a work chain makes the structure primitive and calculates its bands: two links from bands to
  structure;
- bands of a tight-binding model, bands of phonons, and bands that functions align and merge: four
  to eight links, over links of every type.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from aiidadb.criteria.node_types import translate_node_type
from aiidadb.demo.compounds import COMPOUNDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiidadb.demo.compounds import Json

__all__ = ["WORKCHAIN", "Template", "one_block", "shared_nodes"]

_ELEMENTS: Final = tuple(sorted({element for one in COMPOUNDS for element in one.elements}))
_MATERIALS: Final = 4  # in a block

_CALCJOB: Final = "process.calculation.calcjob.CalcJobNode."
_CALCFUNCTION: Final = "process.calculation.calcfunction.CalcFunctionNode."
WORKCHAIN: Final = "process.workflow.workchain.WorkChainNode."
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
class Template:
    """Slots and links that recur in every block."""

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
        self.link_from("shared", output, kind, label, shared_nodes()[1][name])

    def structure(self, phase: str) -> int:
        """Add a structure in one of the phases of a material."""
        return self.slot(_STRUCTURE, "structure", phase=phase, label=f" {phase}")

    def function(self, name: str, **inputs: int) -> int:
        """Add a calculation function with its inputs by label."""
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
        """Add a work chain with its inputs by label, and the work chain that calls it."""
        number = self.slot(
            WORKCHAIN,
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
        """One that a user submits with a structure and its settings."""
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
        """A calculation on a computer, with its own parameters; its outputs are added elsewhere."""
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
        """Add bands that a calculation creates as this output."""
        number = self.slot(_BANDS, "bands", label=label, attributes=_BANDS_ATTRIBUTES)
        self.link(number, "create", **{output: source})
        return number

    def count(self, role: str) -> int:
        """How many nodes have a role."""
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
def shared_nodes() -> tuple[Template, Mapping[str, int]]:
    """The nodes that all blocks share, and the pks of those that are asked for by name."""
    template = Template()
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
def one_block() -> Template:
    """Four materials and what is done with them."""
    template = Template()
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
    # What was imported from elsewhere has no structure.
    template.slot(_BANDS, "bands", label="photoemission", attributes=_BANDS_ATTRIBUTES)
    return template


def _rescaled(block: Template) -> tuple[int, int]:
    function = block.function("rescale_structure")
    structure = block.structure("rescaled")
    block.link(structure, "create", result=function)
    return function, structure


def _relaxed(block: Template, structure: int, *, already: bool) -> int:
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


def _electron_bands(block: Template, structure: int) -> tuple[int, int]:
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


def _phonon_bands(block: Template, scf: int, *, returned: bool) -> int:
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


def _model_bands(block: Template, scf: int) -> int:
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


def _aligned(block: Template, bands: int) -> None:
    """Moved to a common zero of energy."""
    function = block.function("align_bands", bands=bands)
    block.bands("aligned", function, "result")


def _merged(block: Template, electrons: int, phonons: int) -> None:
    """Two in one figure, aligned before."""
    function = block.function("merge_bands", electrons=electrons, phonons=phonons)
    merged = block.bands("merged", function, "result")
    _aligned(block, merged)
