"""Well-known crystals, as AiiDA's ``StructureData`` keeps them: cell, kinds and sites.

Elements, compounds, alloys and structures with vacancies, for generated databases. Lengths are in
ångström, masses in unified atomic mass units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMPOUNDS", "Compound", "Json"]

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
_Vector = tuple[float, float, float]

_MASSES: Final[Mapping[str, float]] = {
    "H": 1.008, "Li": 6.94, "B": 10.81, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998,
    "Na": 22.99, "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06, "Cl": 35.45,
    "K": 39.098, "Ca": 40.078, "Ti": 47.867, "Fe": 55.845, "Co": 58.933, "Ni": 58.693,
    "Cu": 63.546, "Zn": 65.38, "Ga": 69.723, "Ge": 72.63, "As": 74.922, "Br": 79.904,
    "Sr": 87.62, "Nb": 92.906, "Mo": 95.95, "In": 114.82, "Sn": 118.71, "Cs": 132.91,
    "Ba": 137.33, "Ce": 140.12, "Gd": 157.25, "Au": 196.97, "Pb": 207.2,
}  # fmt: skip

_FCC: Final = ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0))
_BCC: Final = ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5))
_CUBE: Final = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_HEXAGON: Final = ((1.0, 0.0, 0.0), (-0.5, 0.75**0.5, 0.0), (0.0, 0.0, 1.0))

# Bravais vectors in units of a (the third hexagonal and tetragonal one in units of c), and the
# places of the kinds A, B and C in fractions of the cell.
_PROTOTYPES: Final[Mapping[str, tuple[tuple[_Vector, ...], tuple[tuple[_Vector, ...], ...]]]] = {
    "fcc": (_FCC, (((0.0, 0.0, 0.0),),)),
    "bcc": (_BCC, (((0.0, 0.0, 0.0),),)),
    "hcp": (_HEXAGON, (((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)),)),
    "diamond": (_FCC, (((0.0, 0.0, 0.0), (0.25, 0.25, 0.25)),)),
    "graphite": (
        _HEXAGON,
        (((0.0, 0.0, 0.25), (0.0, 0.0, 0.75), (1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)),),
    ),
    "rocksalt": (_FCC, (((0.0, 0.0, 0.0),), ((0.5, 0.5, 0.5),))),
    "zincblende": (_FCC, (((0.0, 0.0, 0.0),), ((0.25, 0.25, 0.25),))),
    "caesium chloride": (_CUBE, (((0.0, 0.0, 0.0),), ((0.5, 0.5, 0.5),))),
    "fluorite": (_FCC, (((0.0, 0.0, 0.0),), ((0.25, 0.25, 0.25), (0.75, 0.75, 0.75)))),
    "wurtzite": (
        _HEXAGON,
        (
            ((1 / 3, 2 / 3, 0.0), (2 / 3, 1 / 3, 0.5)),
            ((1 / 3, 2 / 3, 0.375), (2 / 3, 1 / 3, 0.875)),
        ),
    ),
    "rutile": (
        _CUBE,
        (
            ((0.0, 0.0, 0.0), (0.5, 0.5, 0.5)),
            ((0.305, 0.305, 0.0), (0.695, 0.695, 0.0), (0.805, 0.195, 0.5), (0.195, 0.805, 0.5)),
        ),
    ),
    "molybdenite": (
        _HEXAGON,
        (
            ((1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.75)),
            (
                (1 / 3, 2 / 3, 0.621), (1 / 3, 2 / 3, 0.879),
                (2 / 3, 1 / 3, 0.121), (2 / 3, 1 / 3, 0.379),
            ),
        ),
    ),
    "perovskite": (
        _CUBE,
        (
            ((0.0, 0.0, 0.0),),
            ((0.5, 0.5, 0.5),),
            ((0.5, 0.5, 0.0), (0.5, 0.0, 0.5), (0.0, 0.5, 0.5)),
        ),
    ),
    "methane": (
        _CUBE,
        (
            ((0.5, 0.5, 0.5),),
            ((0.58, 0.58, 0.58), (0.42, 0.42, 0.58), (0.42, 0.58, 0.42), (0.58, 0.42, 0.42)),
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compound:
    """One crystal.

    Attributes:
        name: What it is called in labels.
        prototype: Name of its structure type.
        kinds: For each kind its symbols and their weights; weights below 1 in sum leave a vacancy.
        a: First lattice parameter, ångström.
        c: Third lattice parameter, ångström.
    """

    name: str
    prototype: str
    kinds: tuple[tuple[tuple[str, float], ...], ...]
    a: float
    c: float

    @property
    def elements(self) -> tuple[str, ...]:
        """The symbols of all elements, sorted."""
        return tuple(sorted({symbol for kind in self.kinds for symbol, _ in kind}))

    def attributes(self, strain: float = 0.0) -> dict[str, Json]:
        """The attributes of a ``StructureData`` node.

        Args:
            strain: Relative change of all lengths, as a relaxation makes it.

        Returns:
            ``cell`` and ``pbc1`` … ``pbc3``, ``kinds`` and ``sites``, Cartesian and in ångström.
        """
        vectors, places = _PROTOTYPES[self.prototype]
        lengths = [length * (1 + strain) for length in (self.a, self.a, self.c)]
        cell = [
            [round(part * length, 8) for part in vector]
            for vector, length in zip(vectors, lengths, strict=True)
        ]
        kinds: list[Json] = []
        sites: list[Json] = []
        for kind, positions in zip(self.kinds, places, strict=True):
            name = "".join(symbol for symbol, _ in kind)
            weights = [weight for _, weight in kind]
            if sum(weights) < 1 - 1e-6:
                name += "X"
            mass = sum(_MASSES[symbol] * weight for symbol, weight in kind) / sum(weights)
            kinds.append(
                {
                    "name": name,
                    "symbols": [symbol for symbol, _ in kind],
                    "weights": [*weights],
                    "mass": round(mass, 6),
                }
            )
            for at in positions:
                position = [
                    round(sum(at[row] * cell[row][column] for row in range(3)), 8)
                    for column in range(3)
                ]
                sites.append({"kind_name": name, "position": [*position]})
        return {
            "cell": [[*vector] for vector in cell],
            "pbc1": True,
            "pbc2": True,
            "pbc3": True,
            "kinds": kinds,
            "sites": sites,
        }


def _compound(prototype: str, kinds: str, a: float, c: float | None = None) -> Compound:
    """Read ``Ga:0.50+In:0.50 As``: kinds parted by blanks, symbols of a kind by a plus."""
    read = tuple(
        tuple(
            (symbol, float(weight or 1))
            for symbol, _, weight in (part.partition(":") for part in kind.split("+"))
        )
        for kind in kinds.split()
    )
    places = _PROTOTYPES[prototype][1]
    names = [
        kind.replace(":", "").replace("+", "") + (str(len(at)) if len(at) > 1 else "")
        for kind, at in zip(kinds.split(), places, strict=True)
    ]
    return Compound("".join(names), prototype, read, a, a if c is None else c)


COMPOUNDS: Final = (
    _compound("diamond", "Si", 5.431),
    _compound("perovskite", "Ba Ti O", 4.006),
    _compound("zincblende", "Ga As", 5.653),
    _compound("rocksalt", "Na Cl", 5.640),
    _compound("rutile", "Ti O", 4.594, 2.959),
    _compound("zincblende", "Ga:0.50+In:0.50 As", 5.856),
    _compound("wurtzite", "Zn O", 3.250, 5.207),
    _compound("graphite", "C", 2.461, 6.708),
    _compound("rocksalt", "Mg O", 4.212),
    _compound("perovskite", "Sr Ti:0.90 O", 3.905),
    _compound("fcc", "Al", 4.050),
    _compound("fluorite", "Ca F", 5.463),
    _compound("diamond", "C", 3.567),
    _compound("zincblende", "Si C", 4.360),
    _compound("molybdenite", "Mo S", 3.161, 12.295),
    _compound("bcc", "Fe", 2.867),
    _compound("perovskite", "Sr Ti O", 3.905),
    _compound("bcc", "Co:0.50+Fe:0.50", 2.857),
    _compound("wurtzite", "Ga N", 3.189, 5.185),
    _compound("rocksalt", "Ni O", 4.177),
    _compound("diamond", "Ge", 5.658),
    _compound("methane", "C H", 7.850),
    _compound("zincblende", "In P", 5.869),
    _compound("rocksalt", "Ni:0.95 O", 4.170),
    _compound("fcc", "Cu", 3.615),
    _compound("fluorite", "Ce:0.80+Gd:0.20 O:0.95", 5.423),
    _compound("caesium chloride", "Cs Cl", 4.123),
    _compound("perovskite", "Pb Ti O", 3.969),
    _compound("hcp", "Mg", 3.209, 5.211),
    _compound("zincblende", "B N", 3.616),
    _compound("rutile", "Sn O", 4.737, 3.186),
    _compound("diamond", "Si:0.75+Ge:0.25", 5.482),
    _compound("rocksalt", "Li F", 4.027),
    _compound("fcc", "Cu:0.75+Au:0.25", 3.749),
    _compound("perovskite", "K Nb O", 4.022),
    _compound("fluorite", "O Li", 4.611),
    _compound("zincblende", "Zn S", 5.409),
    _compound("rocksalt", "K Br", 6.598),
)
"""All of them, the best known first."""
