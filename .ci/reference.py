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


def write_reference(directory: Path) -> None:
    """Write all of it into a directory."""
    modules = {"index": page("index", Path("README.md"))}
    modules |= {name: pdoc.doc.Module.from_name(name) for name in MODULES}
    for path in sorted((ROOT / DOCS).glob("*.md")):
        modules[f"aiidadb.docs.{path.stem}"] = page(f"aiidadb.docs.{path.stem}", DOCS / path.name)
    pdoc.render.configure(docformat="google", show_source=False, search=True)
    for name, module in modules.items():
        file = directory / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        html = pdoc.render.html_module(module, modules)
        file.write_text(with_links_to_aiida(html), encoding="utf-8")
    (directory / "search.js").write_text(pdoc.render.search_index(modules), encoding="utf-8")
    for picture in PICTURES:
        (directory / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / picture, directory / picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python .ci/reference.py DIRECTORY")
    write_reference(Path(sys.argv[1]))
