"""Print constraints for pip: the oldest version of each dependency that is promised."""

import re
import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
for requirement in chain(project["dependencies"], *project["optional-dependencies"].values()):
    if oldest := re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", requirement):
        print("==".join(oldest.groups()))
