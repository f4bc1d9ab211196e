"""``aiidadb demo``: the main job on a private PostgreSQL, in under a minute."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import click

from aiidadb.backend import open_backend
from aiidadb.campaign import GROUPS, USERS, fill_with_campaign
from aiidadb.cli.nodes import draw_days
from aiidadb.cli.options import fail, run_async
from aiidadb.cli.show import console, echo_json, progress_bar, table
from aiidadb.embedded import embedded_server
from aiidadb.exceptions import AiidaDbError
from aiidadb.pool import connect
from aiidadb.profile import Profile

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aiidadb.backend import Backend
    from aiidadb.campaign import Campaign
    from aiidadb.embedded import EmbeddedServer

__all__ = ["demo"]

T = TypeVar("T")

BANDS = "data.core.array.bands.BandsData."
STRUCTURE = "data.core.structure.StructureData."


@click.command()
@click.option("--nodes", default=140_000, show_default=True, help="How large a campaign to make.")
@click.option("--keep", is_flag=True, help="Leave server and database, and say how to reach them.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON: what was run, and how long.")
def demo(nodes: int, keep: bool, as_json: bool) -> None:
    """See it work: a campaign of band structures on a PostgreSQL of its own.

    Starts a private server, makes a database, fills it with workflows in AiiDA's
    shape, asks and changes it, and brings one of AiiDA 1.6 to 2.x. Leaves
    nothing behind.
    """
    # Ended from outside, the server must be stopped all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        begin = time.perf_counter()
        try:
            server = stack.enter_context(embedded_server(durable=keep, keep=keep))
        except AiidaDbError as error:
            fail(error)
        tour = _Tour(server, nodes, as_json=as_json)
        tour.note("start a private PostgreSQL", time.perf_counter() - begin)
        run_async(tour.run)
        if keep:
            tour.tell_how_to_reach()
        if as_json:
            echo_json(
                {"seconds": tour.seconds, "kept": server.dsn_of("campaign") if keep else None}
            )
        else:
            total = time.perf_counter() - begin
            console().print(f"\n[bold]All of it in {total:.1f} s.[/bold]")


class _Tour:
    """What is shown, one stop after the other."""

    def __init__(self, server: EmbeddedServer, nodes: int, *, as_json: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._server = server
        self._nodes = nodes
        self._as_json = as_json
        self._out = console()

    def note(self, what: str, seconds: float) -> None:
        """Remember, and show, what was done and how long it took."""
        self.seconds[what] = round(seconds, 4)
        if not self._as_json:
            taken = f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
            self._out.print(f"[bold green]{taken:>9}[/bold green]  {what}")

    async def run(self) -> None:
        """Make the databases, fill them, ask, change, migrate."""
        profile = await self._database("campaign")
        async with open_backend(profile, schema_check=False) as backend:
            await self._timed(
                "backend.schema.initialise('main_0002')", backend.schema.initialise("main_0002")
            )
        campaign = await self._fill(profile)
        self._say(
            f"{campaign.nodes:,} nodes, {campaign.links:,} links, {campaign.bands:,} band "
            f"structures, {campaign.structures:,} structures"
        )
        async with open_backend(profile, max_size=10) as backend:
            await self._ask(backend)
            await self._change(backend)
        await self._migrate()

    async def _database(self, name: str) -> Profile:
        connection = await connect(Profile.from_dsn(self._server.dsn))
        try:
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
        return Profile.from_dsn(self._server.dsn_of(name), name=name, default_user_email=USERS[0])

    async def _fill(self, profile: Profile, nodes: int | None = None) -> Campaign:
        connection = await connect(profile)
        try:
            with progress_bar(shown=not self._as_json) as bars:
                task = bars.add_task("Filling", total=self._nodes)
                filling = fill_with_campaign(
                    connection,
                    nodes=nodes or self._nodes,
                    progress=lambda done, total: bars.update(task, completed=done, total=total),
                )
                return await self._timed(f"fill the database {profile.name}", filling)
        finally:
            await connection.close()

    async def _ask(self, backend: Backend) -> None:
        queries = backend.queries
        statistics = await self._timed(
            "get_creation_statistics(timezone='UTC')",
            queries.get_creation_statistics(timezone="UTC"),
        )
        if not self._as_json:
            draw_days(statistics["ctime_by_day"], 7)
        rows = await self._timed(
            f"get_bands_and_parents_structure(group_name={GROUPS[:1]})",
            queries.get_bands_and_parents_structure(all_users=True, group_name=list(GROUPS[:1])),
        )
        bands = [row.pk for row in rows][:500]
        parents = await self._timed(
            f"get_closest_parents({len(bands)} bands, node_type={STRUCTURE!r})",
            queries.get_closest_parents(bands, node_type=STRUCTURE),
        )
        if not self._as_json:
            table(
                f"{len(rows):,} band structures in {GROUPS[0]!r}; the first five",
                {"Bands": "right", "Closest structure": "right", "Formula": "left"},
                ((row.pk, parents.get(row.pk), row.formula) for row in rows[:5]),
            )

    async def _change(self, backend: Backend) -> None:
        await self._timed(
            "settings.set('demo', …)", backend.settings.set("demo", {"x": 3.0}, "of the demo")
        )
        setting = await self._timed("settings.get('demo')", backend.settings.get("demo"))
        self._say(f"{setting.key} = {setting.value}")
        oldest = await backend.queries.get_closest_parents(
            [row.pk for row in await backend.queries.get_bands_and_parents_structure(
                all_users=True, past_days=None, group_name=[GROUPS[1]])][-3:],
            node_type=STRUCTURE,
        )  # fmt: skip
        some = sorted(set(oldest.values()))
        doomed = await self._timed(
            f"get_nodes_to_delete({some})", backend.get_nodes_to_delete(some)
        )
        report = await self._timed(
            f"delete_nodes_and_connections({len(doomed):,} nodes)",
            backend.delete_nodes_and_connections(doomed),
        )
        self._say(
            f"gone: {report.nodes:,} nodes, {report.links:,} links, {report.group_memberships:,} "
            f"memberships, {report.comments:,} comments, {report.logs:,} logs"
        )

    async def _migrate(self) -> None:
        profile = await self._database("of_aiida_1_6")
        async with open_backend(profile, schema_check=False) as backend:
            await backend.schema.initialise("1.0.45")
        nodes = min(self._nodes, 20_000)
        await self._fill(profile, nodes)
        async with open_backend(profile) as backend:
            report = await self._timed(
                f"schema.migrate('main_0002') from 1.0.45, {nodes:,} nodes",
                backend.schema.migrate("main_0002", without_repository=True),
            )
            self._say(f"{len(report.steps)} steps; the same backend goes on at {backend.version}")

    async def _timed(self, what: str, call: Awaitable[T]) -> T:
        begin = time.perf_counter()
        answer = await call
        self.note(what, time.perf_counter() - begin)
        return answer

    def _say(self, what: str) -> None:
        if not self._as_json:
            self._out.print(f"           [dim]{what}[/dim]")

    def tell_how_to_reach(self) -> None:
        """Say where the server is that was kept, and how to stop it."""
        if self._as_json:
            return
        click.echo(
            f"\nThe database goes on at\n  {self._server.dsn_of('campaign')}\n"
            f"Ask it, for instance:\n"
            f"  aiidadb stats --dsn '{self._server.dsn_of('campaign')}'\n"
            f"Stop the server with\n"
            f"  kill -INT $(head -n 1 {self._server.data / 'postmaster.pid'})\n"
            f"and remove {', '.join(map(str, self._server.directories))} then."
        )
