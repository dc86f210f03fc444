"""`python -m benchmarks`: run the scripts, each in a process of its own, and show one table."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from . import harness

SCRIPTS = (
    "encode_big",
    "encode_small",
    "scan_messages",
    "scan_cut",
    "decode_big",
    "codecs",
    "validate",
    "salvage",
    "tail_latency",
    "remote",
    "pipe",
    "startup",
    "memory",
)
"""THE list of scripts, in the order of the table."""


def main() -> int:
    """Run them; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    harness.add_options(parser)
    parser.add_argument("--only", action="append", choices=SCRIPTS, metavar="NAME", help=", ".join(SCRIPTS))
    options = parser.parse_args()
    records: list[dict[str, Any]] = []
    failed = []
    for name in options.only or SCRIPTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found = _run(name, options)
        if found is None:
            failed.append(name)
        else:
            records += found
    rows = (harness.Row(**{key: record[key] for key in harness.Row._fields}) for record in records)
    print(harness.table(rows))
    if options.json:
        harness.write_json(options.json, records, options)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _run(name: str, options: argparse.Namespace) -> list[dict[str, Any]] | None:
    flags = [flag for flag in ("--quick", "--full") if getattr(options, flag[2:])]
    with harness.temporary_folder() as folder:
        result = folder / "rows.json"
        words = [sys.executable, "-m", f"benchmarks.{name}", *flags, "--json", str(result)]
        if subprocess.run(words, cwd=harness.ROOT, stdout=subprocess.DEVNULL, check=False).returncode:
            return None
        found: list[dict[str, Any]] = json.loads(result.read_text("utf-8"))["rows"]
        return found


if __name__ == "__main__":
    sys.exit(main())
