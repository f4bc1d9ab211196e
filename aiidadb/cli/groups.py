"""A group of commands that says which one a mistyped name may have meant."""

from __future__ import annotations

import click

from aiidadb.messages import did_you_mean, quote

__all__ = ["Group"]


class Group(click.Group):
    """Commands under one name, such as ``aiidadb bands``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; takes what :meth:`click.Group.resolve_command` does."""
        name = args[0]
        # What looks like an option is left to click, and so is what the shell tries to complete.
        is_wrong = not name.startswith("-") and self.get_command(ctx, name) is None
        if is_wrong and not ctx.resilient_parsing:
            meant = did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"No such command {quote(name)}{f': {meant}' if meant else ''}")
        return super().resolve_command(ctx, args)
