"""The command line: `rowmill --help`. Heavy imports happen inside the commands, so that help and check stay quick."""

from __future__ import annotations

import sys

import typer

from rowmill.cli import checking, cleaning, client, cluster, demo, files, migrating, rules, serving, simulator
from rowmill.errors import RowmillError

app = typer.Typer(
    name="rowmill",
    help="A table in, a result for every row out.\n\nStart with `rowmill demo`, or `rowmill up` and open the address it prints.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(serving.up)
app.command("web")(cluster.web)
app.command("worker")(cluster.worker)
app.command("beat")(cluster.beat)
app.command("migrate")(migrating.migrate)
app.command("health")(cluster.health)
app.command("demo")(demo.demo)
app.command("check")(checking.check)
app.command("convert")(files.convert)
app.command("kinds")(rules.kinds)
app.command("sample")(files.sample)
app.command("upload")(client.upload)
app.command("cleanup-precheck-validations")(cleaning.cleanup_precheck_validations)
app.command("payer-sim")(simulator.payer_sim)


@app.command("version")
def version() -> None:
    """Print the release."""
    from rowmill import __version__

    print(__version__)


def main() -> None:
    """Run the command line; our own errors become one sentence on stderr and exit 2."""
    try:
        app()
    except RowmillError as error:
        print(f"rowmill: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
