"""The command line of the simulator: python -m payersim."""

from __future__ import annotations

import argparse
from pathlib import Path

from payersim.serve import serve
from payersim.settings import PROFILES


def parser() -> argparse.ArgumentParser:
    """Make the parser."""
    made = argparse.ArgumentParser(
        prog="payersim",
        description="A payer that does not exist: answers claim inquiries as real payers do, and fails as they fail.",
        epilog="Client: sim-client / sim-secret. Claim numbers beginning with SIMPD, SIMDN, SIMNF ... need no book; "
        "docs/payer-simulator.md lists them.",
    )
    made.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    made.add_argument("--port", type=int, default=8099, help="the payer's port; 0 takes a free one (default 8099)")
    made.add_argument("--control-port", type=int, default=8098, help="the control plane's port (default 8098)")
    made.add_argument(
        "--profile", choices=list(PROFILES), default="realistic", help="how badly it behaves (default realistic)"
    )
    made.add_argument("--latency-scale", type=float, default=1.0, help="1 = 8 to 10 s a call, 0 = at once (default 1)")
    made.add_argument("--seed", type=int, default=1, help="same seed, same story (default 1)")
    made.add_argument("--book", type=Path, help="claim book, JSON lines")
    made.add_argument("--in-flight-cap", type=int, help="more calls at once than this get 429")
    made.add_argument("--rate-per-minute", type=float, help="more calls a minute than this get 429")
    made.add_argument("--token-ttl", type=float, default=3600.0, help="seconds a token lives (default 3600)")
    made.add_argument(
        "--unknown", choices=["not_found", "mix"], default="not_found", help="what unknown claim numbers get"
    )
    made.add_argument("--json", dest="as_json", action="store_true", help="print the addresses as one line of JSON")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the simulator until it is stopped."""
    serve(**vars(parser().parse_args(arguments)))


if __name__ == "__main__":
    main()
