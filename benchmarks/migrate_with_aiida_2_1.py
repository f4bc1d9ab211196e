"""Migrates a database with aiida-core 2.1.2; for migration_sqlalchemy.py.

Run by the Python of an environment that has it, which is an old one: this file uses nothing new and
nothing of aiidadb. Arguments: the profile as JSON, and the file that is to receive the seconds.
"""

import json
import sys
import time
import warnings


def main(profile, told):
    warnings.simplefilter("ignore")
    from aiida.manage.configuration.profile import Profile
    from aiida.storage.psql_dos.migrator import PsqlDostoreMigrator

    migrator = PsqlDostoreMigrator(Profile("benchmark", json.loads(profile)))
    started = time.perf_counter()
    migrator.migrate()
    seconds = time.perf_counter() - started
    with open(told, "w") as file:  # noqa: PTH123
        json.dump({"seconds": seconds}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
