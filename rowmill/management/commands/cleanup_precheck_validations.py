"""Removes the files of old prechecks, and what processes that died left on this machine's disk."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from rowmill.models import Precheck, PrecheckStatus
from rowmill.uploads.precheck_cleanup import KEPT_HOURS, clean_prechecks, find_leftovers
from rowmill.uploads.tidy import clear_leavings


class Command(BaseCommand):
    help = "Remove the files of prechecks that are over, and end those that are stuck. Records and their trail stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Say what would go, and remove nothing.")
        parser.add_argument("--all", action="store_true", help="Of any age.")
        parser.add_argument(
            "--hours", type=float, default=KEPT_HOURS, help=f"Older than so many; {KEPT_HOURS} by default."
        )
        parser.add_argument(
            "--status", type=str.upper, default="", help=f"Only those: {', '.join(PrecheckStatus.values)}."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        status = options["status"] or ""
        if status and status not in PrecheckStatus.values:
            raise CommandError(f"--status takes {', '.join(PrecheckStatus.values)}.")
        if options["hours"] < 0:
            raise CommandError("--hours takes a number from 0.")
        found = find_leftovers(hours=options["hours"], of_any_age=options["all"], status=status)
        if options["dry_run"]:
            self._tell_what_would_go(list(found))
            return
        sizes = []
        for removed in clean_prechecks(found):
            self._tell("removed", removed.precheck, removed.was, removed.file_bytes)
            sizes.append(removed.file_bytes)
        clear_leavings()
        self.stdout.write(f"{len(sizes):,} prechecks cleaned up, {sum(sizes):,} bytes removed.")

    def _tell_what_would_go(self, found: list[Precheck]) -> None:
        for precheck in found:
            self._tell("would remove", precheck, precheck.status, precheck.upload.size_bytes)
        self.stdout.write(f"{len(found):,} prechecks would be cleaned up. Nothing was removed.")

    def _tell(self, word: str, precheck: Precheck, was: str, size: int) -> None:
        """Name it by its id alone: a file's name may name a person."""
        begun = f"{precheck.created_at:%Y-%m-%d %H:%M} UTC"
        self.stdout.write(f"{word} {precheck.public_id} {was}, begun {begun}, {size:,} bytes")
