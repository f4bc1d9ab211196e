"""Write the reference as HTML: README, the pages of ``aiidadb/docs``, and every public name.

``python .ci/reference.py DIRECTORY``. Needs: ``python -m pip install -e '.[docs]'``. Names of
AiiDA's are links to AiiDA's documentation.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pdoc.doc
import pdoc.render

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # a checkout is enough: the package need not be installed

DOCS = Path("aiidadb/docs")
TEMPLATES = Path(__file__).parent / "reference_templates"
PICTURES = ("benchmarks/results/figures.png",)
MODULES = ("aiidadb", "aiidadb.tables")

AIIDA = "https://aiida.readthedocs.io/projects/aiida-core/en/stable/"
# What AiiDA documents, and where.
OF_AIIDA = {
    "aiida.tools.delete_nodes": (
        "reference/apidoc/aiida.tools.graph.html#aiida.tools.graph.deletions.delete_nodes"
    ),
    "orm.QueryBuilder": "reference/apidoc/aiida.orm.html#aiida.orm.querybuilder.QueryBuilder",
    "orm.StructureData": (
        "reference/apidoc/aiida.orm.nodes.data.html#aiida.orm.nodes.data.structure.StructureData"
    ),
    "AiiDA's QueryBuilder": "howto/query.html",
    "AiiDA's provenance rules": "topics/provenance/consistency.html",
    "AiiDA's rules": "topics/provenance/consistency.html",
}


# How pdoc writes the type of JSON values, which refers to itself.
JSON_UNION = "None | bool | int | float | str | list[{0}] | dict[str, {0}]"
JSON_VALUE = JSON_UNION.format(f"ForwardRef('{JSON_UNION.format('JsonValue')}')")


def page(name: str, path: Path) -> pdoc.doc.Module:
    """A page in Markdown as a module that has nothing but its text."""
    text = (ROOT / path).read_text(encoding="utf-8")

    def resolved(link: re.Match[str]) -> str:
        shown, target, part = link[1], link[2], link[3] or ""
        if "://" in target or target in PICTURES or not target:
            return link[0]
        found = (ROOT / path).parent / target
        if found.suffix == ".md" and found.parent.resolve() == (ROOT / DOCS).resolve():
            return f"[{shown}]({Path(target).with_suffix('.html')}{part})"
        return shown  # a file that is not in the reference

    made = ModuleType(name, re.sub(r"\[([^]]*)\]\(([^)#]*)(#[^)]*)?\)", resolved, text))
    made.__dict__["__docformat__"] = "markdown"
    return pdoc.doc.Module(made)


def with_links_to_aiida(html: str) -> str:
    """The same with the names of AiiDA's as links, outside of programs and of other links."""
    names = "|".join(map(re.escape, OF_AIIDA))
    skipped = r"<pre\b.*?</pre>|<a\b.*?</a>|<nav\b.*?</nav>|<title>.*?</title>|<h\d.*?</h\d>"

    def linked(found: re.Match[str]) -> str:
        if (name := found["name"]) is None:
            return found[0]
        return f'<a href="{AIIDA}{OF_AIIDA[name]}">{name}</a>'

    pattern = rf"{skipped}|(?<![\w.])(?P<name>{names})(?!\w)"
    return re.sub(pattern, linked, html.replace("AiiDA&#39;s", "AiiDA's"), flags=re.DOTALL)


def with_json_values(html: str) -> str:
    """The same with the type of JSON values by its name, as the source has it."""
    tokens = re.findall(r"\w+|'[^']+'|[^\w\s]", JSON_VALUE)
    # As text, or highlighted with tags around each of its parts.
    pattern = r"(?:\s|<[^>]+>)*".join(map(re.escape, tokens)).replace("'", "(?:'|&#39;)")
    meaning = "None, a bool, int, float or str, or a list or dict of such values"
    return re.sub(pattern, f'<abbr title="{meaning}">JsonValue</abbr>', html)


def title_of(name: str) -> str:
    """What a page is called where all are listed."""
    known = {
        "index": "Overview",
        "aiidadb": "All names",
        "aiidadb.docs.djsite": "djsite",
        "aiidadb.docs.querybuilder": "QueryBuilder",
    }
    return known.get(name) or name.rpartition(".")[2].replace("_", " ").capitalize()


def write_reference(directory: Path) -> None:
    """Write all of it into a directory."""
    modules = {"index": page("index", Path("README.md"))}
    modules |= {name: pdoc.doc.Module.from_name(name) for name in MODULES}
    for path in sorted((ROOT / DOCS).glob("*.md")):
        modules[f"aiidadb.docs.{path.stem}"] = page(f"aiidadb.docs.{path.stem}", DOCS / path.name)
    pdoc.render.configure(
        docformat="google", show_source=False, search=True, template_directory=TEMPLATES
    )
    pdoc.render.env.globals["titles"] = {name: title_of(name) for name in modules}
    for name, module in modules.items():
        file = directory / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        html = pdoc.render.html_module(module, modules)
        file.write_text(with_json_values(with_links_to_aiida(html)), encoding="utf-8")
    (directory / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")
    for picture in PICTURES:
        (directory / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / picture, directory / picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python .ci/reference.py DIRECTORY")
    write_reference(Path(sys.argv[1]))
