"""The command that runs the payer simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def payer_sim(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The payer's port; 0 takes a free one.")] = 8099,
    control_port: Annotated[int, typer.Option(help="The control plane's port; 0 takes a free one.")] = 8098,
    profile: Annotated[str, typer.Option(help="calm, realistic, bursty or hostile.")] = "realistic",
    latency_scale: Annotated[float, typer.Option(help="1 is 8 to 10 s a call, 0 is at once.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same story.")] = 1,
    book: Annotated[Path | None, typer.Option(help="Claim book in JSON lines, from `rowmill sample`.")] = None,
    in_flight_cap: Annotated[int | None, typer.Option(help="More calls at once than this get 429.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
) -> None:
    """Run a payer that does not exist, for trying Rowmill without one. Client: sim-client, secret: sim-secret."""
    from payersim.serve import serve

    serve(
        host=host,
        port=port,
        control_port=control_port,
        profile=profile,
        latency_scale=latency_scale,
        seed=seed,
        book=book,
        in_flight_cap=in_flight_cap,
        as_json=as_json,
    )
