"""The reference is made without a warning, and has every public name and page in it."""

from __future__ import annotations

import html
import inspect
import re
import sys
import types
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

import aiidadb
from tests.helpers.documents import DOCUMENTS, ROOT
from tests.helpers.processes import finished

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("reference")
    command = [sys.executable, "-W", "error", str(ROOT / ".ci" / "reference.py"), str(directory)]
    ended = finished(command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    return directory


def test_every_public_name_and_method_is_in_it(reference):
    ids = set(re.findall(r'id="([^"]+)"', (reference / "aiidadb.html").read_text("utf-8")))
    for name in set(aiidadb.__all__) - {"tables"}:
        assert name in ids, name
        value = getattr(aiidadb, name)
        for attribute, member in vars(value).items() if isinstance(value, type) else ():
            inner = getattr(member, "__func__", member)
            if isinstance(inner, types.FunctionType | property) and not attribute.startswith("_"):
                assert f"{name}.{attribute}" in ids
    tables = (reference / "aiidadb" / "tables.html").read_text("utf-8")
    assert set(aiidadb.tables.__all__) <= set(re.findall(r'id="([^"]+)"', tables))


def test_what_docstrings_say_is_in_it(reference):
    text = html.unescape((reference / "aiidadb.html").read_text("utf-8"))
    for name in ("Backend", "QueryManager", "open_backend", "SchemaManager"):
        first = (inspect.getdoc(getattr(aiidadb, name)) or "").split()[0]
        assert first in text


def test_every_page_is_in_it_and_the_readme_leads_there(reference):
    index = (reference / "index.html").read_text("utf-8")
    for page in DOCUMENTS.glob("*.md"):
        place = f"aiidadb/docs/{page.stem}.html"
        assert (reference / place).is_file()
        assert f'href="{place}"' in index


def test_its_links_lead_somewhere(reference):
    pages = {
        path: re.sub("<script.*?</script>", "", path.read_text("utf-8"), flags=re.DOTALL)
        for path in reference.rglob("*.html")
    }
    assert len(pages) > 5
    ids = {path: set(re.findall(r'id="([^"]+)"', text)) for path, text in pages.items()}
    for path, text in pages.items():
        for target in re.findall(r'<(?:a|img)\b[^>]* (?:href|src)="([^"]+)"', text):
            if re.match(r"https?:|data:", target):
                continue
            file, _, part = unquote(html.unescape(target)).partition("#")
            found = (path.parent / file).resolve() if file else path
            assert found.exists(), (path.name, target)
            assert not part or found not in ids or part in ids[found], (path.name, target)


def test_names_of_aiida_lead_to_its_documentation(reference):
    text = (reference / "aiidadb.html").read_text("utf-8")
    for name in ("aiida.tools.delete_nodes", "AiiDA's QueryBuilder"):
        assert re.search(
            rf'<a href="https://aiida\.readthedocs\.io/[^"]+">{re.escape(name)}</a>', text
        ), name


def test_every_page_leads_to_all_others_and_has_one_heading(reference):
    pages = sorted(reference.rglob("*.html"))
    for path in pages:
        text = path.read_text("utf-8")
        assert len(re.findall("<h1", text)) == 1, path.name
        listed = re.search('<p class="all-pages">(.*?)</p>', text, re.DOTALL)
        assert listed is not None
        found = {(path.parent / one).resolve() for one in re.findall('href="(.*?)"', listed[1])}
        assert found == {one.resolve() for one in pages} - {path.resolve()}


def test_the_type_of_json_values_is_shown_by_its_name(reference):
    text = (reference / "aiidadb.html").read_text("utf-8")
    assert ">JsonValue</abbr>" in text
    assert "ForwardRef" not in text
