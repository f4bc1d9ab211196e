"""How every command ends: one line on standard error, and the exit status that scripts expect."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from aiidadb.cli.groups import Group
from aiidadb.cli.signals import Signals
from aiidadb.exceptions import AiidaDbError
from aiidadb.messages import MOST_CHARACTERS, did_you_mean, printable, shorten

__all__ = ["Commands"]

FAILED: Final = 1
WRONG_USAGE: Final = 2
REFUSED: Final = 3
SIGNALLED: Final = 128  # and the signal's number


class Commands(Group):
    """The top of the command line.

    Exit status: 0 where all was done, 1 for an error and for a question answered with no, 2 for
    wrong usage, 3 for a check that refuses what it was asked about, 130 for Ctrl-C, 143 for
    SIGTERM, 129 for SIGHUP, 141 where the reader of a pipe is gone, as other tools have it.
    """

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command line, and exit; takes what :meth:`click.Command.main` does."""
        kwargs["standalone_mode"] = False
        _open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                # A terminal that cannot show a character shows its number.
                stream.reconfigure(errors="backslashreplace")
        try:
            status = super().main(*args, **kwargs)
        except click.ClickException as error:
            status = _tell_usage(error)
        except click.Abort:
            status = SIGNALLED + signal.SIGINT
        sys.exit(status)

    def invoke(self, ctx: click.Context) -> int:
        """Run a command, and give its exit status."""
        with Signals() as signals:
            try:
                signals.handle()  # in here, because the first may come immediately
                return self._invoke(ctx)
            except KeyboardInterrupt as interrupt:
                with contextlib.suppress(KeyboardInterrupt):  # a second one, meanwhile
                    _tell_interrupt(interrupt)
                status = SIGNALLED + (signals.number or signal.SIGINT)
                if signals.is_urgent:
                    signals.end_process(status)
                return status

    def _invoke(self, ctx: click.Context) -> int:
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()
            return SIGNALLED + signal.SIGPIPE
        except (AiidaDbError, OSError) as error:
            tell_error(error)
            if isinstance(error, OSError):
                _discard_output()
            return FAILED
        return 0


def tell_error(error: BaseException) -> None:
    """Show an error in one line on standard error."""
    notes = getattr(error, "__notes__", ())
    what = error.for_command_line() if isinstance(error, AiidaDbError) else str(error)
    message = "; ".join(printable(" ".join(part.split())) for part in (what, *notes))
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)


def _tell_usage(error: click.ClickException) -> int:
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
        error.show()  # a group without a command: its help
        return WRONG_USAGE
    context = getattr(error, "ctx", None)
    help_of = f" (see {context.command_path} --help)" if context is not None else ""
    message = printable(" ".join(_message_of(error).split()).rstrip("."))
    message = shorten(message, MOST_CHARACTERS - len(help_of))
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}{help_of}", err=True)
    return error.exit_code


def _message_of(error: click.ClickException) -> str:
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    # click's own suggestion follows without a mark between.
    meant = did_you_mean(error.option_name, error.possibilities or ())
    return f"No such option {error.option_name}{f': {meant}' if meant else ''}"


def _tell_interrupt(interrupt: KeyboardInterrupt) -> None:
    # What asyncio raised it for may say what was done all the same.
    told = (interrupt.__context__, interrupt)
    notes = "".join(f": {note}" for error in told for note in getattr(error, "__notes__", ()))
    begin = "\n" if sys.stderr.isatty() else ""  # after the ^C that the terminal shows
    click.echo(f"{begin}Interrupted{printable(notes)}.", err=True)


def _open_closed_streams() -> None:
    """Open ``/dev/null`` for each standard stream that the shell has closed, as by ``>&-``."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - to the end of the process


def _discard_output() -> None:
    """Let Python's own flush at the end find a stream that accepts what no other does."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
