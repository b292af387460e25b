"""The command that runs the payer simulator."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from rowmill.errors import ConfigError

SAMPLE_ROWS, SAMPLE_SEED = 200, 1  # what `rowmill sample claims` makes unless told otherwise


def payer_sim(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The payer's port; 0 takes a free one.")] = 8099,
    control_port: Annotated[int, typer.Option(help="The control plane's port; 0 takes a free one.")] = 8098,
    profile: Annotated[str, typer.Option(help="calm, realistic, bursty or hostile.")] = "realistic",
    latency_scale: Annotated[float, typer.Option(help="1 is 8 to 10 s a call, 0 is at once.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same story.")] = 1,
    book: Annotated[
        Path | None,
        typer.Option(
            help="Claim book in JSON lines, from `rowmill sample`; else it knows the samples.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    in_flight_cap: Annotated[int | None, typer.Option(help="More calls at once than this get 429.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Run a payer that does not exist, for trying Rowmill without one. Client: sim-client, secret: sim-secret."""
    from payersim.serve import serve

    with tempfile.TemporaryDirectory() as folder:
        try:
            serve(
                host=host,
                port=port,
                control_port=control_port,
                profile=profile,
                latency_scale=latency_scale,
                seed=seed,
                book=book or _write_sample_book(Path(folder)),
                in_flight_cap=in_flight_cap,
                as_json=as_json,
            )
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {host}, ports {port} and {control_port}. Most likely another program uses one of them: "
                "choose others with --port and --control-port; 0 takes a free one."
            ) from error


def _write_sample_book(folder: Path) -> Path:
    """Write the book of the samples: that of 200 rows begins with those of the page's sample and of samples/."""
    from rowmill.claims.sample import make_claims

    make_claims(SAMPLE_ROWS, SAMPLE_SEED, folder / "claims.csv", folder / "book.jsonl")
    return folder / "book.jsonl"
