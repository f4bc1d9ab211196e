"""Migrates a database with aiida-core 1.6.9 and its Django; for migration_chain.py.

Run by the Python of an environment that has it, which is an old one: this file uses nothing new and
nothing of aiidadb. Arguments: the directory of AiiDA's configuration, and the file that is to tell
the seconds of each step. The questions that steps 0024 and 0032 ask are answered on standard input.
"""

import json
import os
import sys
import time


def main(home, told):
    os.environ["AIIDA_PATH"] = home
    from aiida.manage.configuration import load_profile
    from aiida.manage.manager import get_manager

    load_profile()
    get_manager()._load_backend(schema_check=False)  # noqa: SLF001
    # Only now does Django know its settings.
    from django.core.management import call_command
    from django.core.management.commands.migrate import Command

    steps = []
    tell = Command.migration_progress_callback

    def note(self, action, migration=None, fake=False):
        if action == "apply_start":
            steps.append([migration.app_label, migration.name, time.perf_counter()])
        elif action == "apply_success":
            steps[-1][2] = time.perf_counter() - steps[-1][2]
        tell(self, action, migration, fake)

    Command.migration_progress_callback = note
    started = time.perf_counter()
    call_command("migrate")
    seconds = time.perf_counter() - started
    with open(told, "w") as file:  # noqa: PTH123
        json.dump({"seconds": seconds, "steps": steps}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
