"""Feed mutated files to everything that reads one. Needs atheris (the extra `fuzz`).

    python -m fuzz                          without end
    python -m fuzz -max_total_time=120      two minutes, as .ci/run does
    python -m fuzz crash-0123…              one input again

All arguments are libFuzzer's. What is found is written to the working directory as `crash-…`, `oom-…` or
`timeout-…`: it belongs into tests/hostile/found with a name and a test.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tgmtool"]):
    import tgmtool
    from tgmtool.limits import Limits
    from tgmtool.operations.validate import validate

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"
SMALL = 4096  # bytes: larger seeds make the fuzzer slow
LIMITS = Limits(cbor_bytes=1 << 20, decoded_bytes=8 << 20, retained_bytes=1 << 20)


def one_input(data: bytes) -> None:
    """Scan, validate and decode; nothing but a TgmError may come out."""
    for unit in ("object", "frame", "message"):
        try:
            for _ in tgmtool.scan(data, unit=unit, limits=LIMITS):
                pass
        except tgmtool.TgmError:
            pass
    report = validate(data, level="full", limits=LIMITS)
    try:
        for message in tgmtool.read(data, on_damage="skip", limits=LIMITS):
            if isinstance(message, tgmtool.Message):
                for found in message.objects:
                    try:
                        _ = found.array
                    except tgmtool.TgmError:
                        assert report.verdict != "valid", "valid, and cannot be decoded"
    except tgmtool.TgmError:
        pass


def main() -> None:
    """Run libFuzzer with the small vectors as seeds."""
    arguments = list(sys.argv)
    with tempfile.TemporaryDirectory() as seeds:
        if not any(Path(word).exists() for word in arguments[1:] if not word.startswith("-")):
            for path in VECTORS.glob("*.tgm"):
                if path.stat().st_size <= SMALL:
                    (Path(seeds) / path.name).write_bytes(path.read_bytes())
            arguments += ["-rss_limit_mb=2048", "-timeout=10", seeds]
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
