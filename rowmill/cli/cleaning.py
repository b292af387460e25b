"""`rowmill cleanup-precheck-validations`: removes the files of old prechecks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rowmill.cli.starting import set_up_django
from rowmill.errors import ConfigError


def cleanup_precheck_validations(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")] = False,
    of_any_age: Annotated[bool, typer.Option("--all", help="Of any age.")] = False,
    hours: Annotated[float, typer.Option(min=0, help="Older than so many hours.")] = 24,
    status: Annotated[str, typer.Option(help="Only those that are PENDING, RUNNING, COMPLETED or FAILED.")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded default.")] = None,
) -> None:
    """Remove the files of prechecks that are over, and end those that are stuck. Records and their trail stay.

    The sweeper does so by itself each night at 02:00, and with each file a day after its end.
    """
    set_up_django(data_dir)
    from django.core.management import CommandError, call_command

    try:
        call_command(
            "cleanup_precheck_validations", dry_run=dry_run, all=of_any_age, hours=hours, status=status.upper()
        )
    except CommandError as error:
        raise ConfigError(str(error)) from None
