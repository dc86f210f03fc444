"""A batch script under `set -euo pipefail`: it succeeds when all went well, and only then."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.processes import PATIENCE, TGMTOOL, environment, run, wait_until

_SCRIPT = Path(__file__).with_name("batch.sh")
_STEPS = list(range(0, 61, 6))
_METER = shlex.split(
    "tail -F -n +1 --state tail.state -q --exec 'ecflow_client --meter=step {mars.step}' run.tgm"
)

# Prints a field for each step; if there is a FIFO `gate`, after one byte of it for each.
_MODEL = """\
import json, os, sys
import numpy as np
from random import Random
draw = Random(1)
dies, stalls = os.environ.get("DIES_AT"), os.environ.get("STALLS_AT")
gate = os.open("gate", os.O_RDWR) if os.path.exists("gate") else None
for step in range(0, int(os.environ["STEPS"]) + 1, 6):
    if stalls == str(step):
        os.read(os.open("never", os.O_RDONLY), 1)
    if gate is not None:
        os.read(gate, 1)
    values = np.frombuffer(draw.randbytes(40_000), "u2")
    head = {"dtype": "<u2", "shape": [values.size], "mars": {"param": "2t", "step": step}}
    data = values.tobytes()
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\\n")
    sys.stdout.buffer.write(data[: 1000 if dies == str(step) else None])
    sys.stdout.buffer.flush()
    if dies == str(step):
        sys.exit(9)
"""


class Job(NamedTuple):
    """A folder that the script runs in."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return {"PATH": path, "RUN": "run.tgm", "STATE": "tail.state", "STEPS": str(_STEPS[-1])}

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "out", "wb") as out, open(self.folder / "err", "wb") as err:
            return subprocess.Popen(
                ["bash", str(_SCRIPT)],
                cwd=self.folder,
                env=environment({**self.env, **env}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def run(self, **env: str) -> int:
        process = self.start(**env)
        try:
            return process.wait(PATIENCE)
        finally:
            stop(process)

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    @property
    def steps(self) -> list[int]:
        """The steps that the workflow was told of."""
        log = self.folder / "meter"
        return [int(line.split()[-1]) for line in log.read_text().splitlines()] if log.exists() else []

    def validate(self, *words: str) -> int:
        return subprocess.run(
            [*TGMTOOL, "validate", "-q", *words, "run.tgm"], cwd=self.folder, check=False
        ).returncode


def stop(process: subprocess.Popen[bytes]) -> None:
    """End everything that the script started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    programs = {
        "model": f'#!/bin/sh\nexec {sys.executable} "$(dirname "$0")/model.py"\n',
        "model.py": _MODEL,
        "tgmtool": f'#!/bin/sh\nexec {sys.executable} -m tgmtool "$@"\n',
        "ecflow_client": '#!/bin/sh\necho "$@" >>meter\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    os.mkfifo(tmp_path / "never")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(
        [*TGMTOOL, "encode", "--from", "raw", "--dtype", "<f4", "--shape", "2", "-o", "kept.tgm"],
        cwd=tmp_path,
        input=bytes(8),
        check=True,
    )
    subprocess.run(["git", "add", "kept.tgm"], cwd=tmp_path, check=True)
    return Job(tmp_path)


def test_all_goes_well(job: Job) -> None:
    assert job.run() == 0, job.err
    assert job.steps == _STEPS
    assert job.validate("--stream", "--require-end", "--strict") == 0
    suites = ET.parse(job.folder / "tgm.xml").getroot()  # written by us
    assert suites.get("failures", suites[0].get("failures")) == "0"
    assert "11" in job.out


def test_a_model_that_dies_inside_a_field_fails_the_job(job: Job) -> None:
    status = job.run(DIES_AT="30")
    assert status not in {0, 124}, job.err
    assert set(job.steps) <= set(_STEPS[:5])
    assert (
        job.validate("--stream", "--require-end") == 0
    )  # everything before is whole, and says that it failed


def test_a_model_that_stalls_fails_the_job_with_a_time_limit(job: Job) -> None:
    assert job.run(STALLS_AT="30", IDLE="1s") == 124, job.err
    assert "idle" in job.err


def test_a_full_disk_fails_the_job(job: Job) -> None:
    status = job.run(QUOTA_KIB="200")
    assert status not in {0, 124}, job.err
    assert "run.tgm" in job.err
    assert job.validate() in {0, 5}


def test_a_consumer_that_is_killed_and_started_again_misses_nothing(job: Job) -> None:
    os.mkfifo(job.folder / "gate")
    gate = os.open(job.folder / "gate", os.O_RDWR)
    script = job.start()
    try:
        os.write(gate, b"." * 4)
        wait_until(lambda: 12 in job.steps, "the third step")
        kill_meter(job)
        os.write(gate, b"." * len(_STEPS))
        again = run((*TGMTOOL, *_METER), cwd=job.folder, env=job.env)
        assert (again.status, again.err) == (0, "")
        assert script.wait(PATIENCE) == 137, job.err  # the script sees that its own consumer was killed
    finally:
        stop(script)
        os.close(gate)
    assert list(dict.fromkeys(job.steps)) == _STEPS
    assert job.steps == sorted(job.steps)


def kill_meter(job: Job) -> None:
    """kill -9 the tail that drives the workflow."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                here = os.readlink(entry / "cwd") == str(job.folder)
            except OSError:
                continue
            if here and b"tail" in words and b"--state" in words:
                os.kill(int(entry.name), signal.SIGKILL)
