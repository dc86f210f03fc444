"""S3 on loopback: moto where it is installed, and OpenStack Swift where Debian's packages are.

It is separate from `servers` because nothing here is ours: what two servers answer, that were written
by others and for other ends, is what the tests want to know.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.processes import environment, wait_until

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "CANARY:KEYID",  # Swift wants account and user
    "AWS_SECRET_ACCESS_KEY": "CANARYSECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET, KEPT = "bucket", "kept"  # the second keeps old versions

_SWIFT = "/usr/bin/python3"  # the one that Debian's packages are for
_RINGS = ("account", "container", "object")
_PROXY = {
    "catch_errors": "",
    "gatekeeper": "",
    "cache": "use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:1",  # nobody there: nothing is cached
    "listing_formats": "",
    "s3api": "location = us-east-1",
    "tempauth": "user_{} = {} .admin".format(
        S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"].replace(":", "_"), S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"]
    ),
    "copy": "",
    "slo": "",
    "versioned_writes": "allow_object_versioning = true",
    "symlink": "",
}


@contextmanager
def _moto() -> Iterator[str]:
    """Run moto's server; yield its endpoint."""
    (port,) = _free_ports(1)
    program = "import sys; from moto.server import main; main(sys.argv[1:])"
    with _running({port: [sys.executable, "-c", program, "-H", "127.0.0.1", "-p", str(port)]}):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _swift() -> Iterator[str]:
    """Run the four servers of Swift, with one disk that is a folder; yield the endpoint of its S3 API."""
    *ports, proxy = _free_ports(len(_RINGS) + 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "devices" / "disk").mkdir(parents=True)
        (folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = only\ndefault = yes\n"
        )
        # Without extended attributes (an older tmpfs), objects are kept in memory.
        kinds = {"object": "object" if _has_attributes(folder) else "mem_object"}
        _write_rings(folder, ports)
        for ring, port in zip(_RINGS, ports, strict=True):
            server = f"{ring}-server"
            text = f"[pipeline:main]\npipeline = {server}\n[app:{server}]\nuse = egg:swift#"
            _write_server(folder, ring, port, text + kinds.get(ring, ring))
        text = f"[pipeline:main]\npipeline = {' '.join(_PROXY)} proxy-server\n"
        text += "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
        for part, lines in _PROXY.items():
            use = "" if lines.startswith("use =") else f"use = egg:swift#{part}\n"
            text += f"[filter:{part}]\n{use}{lines}\n"
        _write_server(folder, "proxy", proxy, text)
        programs = {
            port: [_SWIFT, _program(f"swift-{server}-server"), str(folder / f"{server}.conf")]
            for server, port in zip((*_RINGS, "proxy"), (*ports, proxy), strict=True)
        }
        with _running(programs):
            yield f"http://127.0.0.1:{proxy}"


_BUILD = """
import sys
from swift.common.ring import RingBuilder
folder, *rings = sys.argv[1:]
for name, port in zip(rings[::2], map(int, rings[1::2])):
    ring = RingBuilder(4, 1, 1)
    disk = {"region": 1, "zone": 1, "weight": 1, "device": "disk", "ip": "127.0.0.1", "port": port}
    ring.add_dev({**disk, "replication_ip": "127.0.0.1", "replication_port": port})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""


def _write_rings(folder: Path, ports: Sequence[int]) -> None:
    """Write which server keeps what: each kind on its own, and all on the one disk."""
    rings = (text for pair in zip(_RINGS, map(str, ports), strict=True) for text in pair)
    done = subprocess.run(
        [_SWIFT, "-c", _BUILD, str(folder), *rings],
        capture_output=True,
        check=False,
        env=_clean_environment(),
    )
    assert done.returncode == 0, done.stderr.decode()


def _write_server(folder: Path, name: str, port: int, text: str) -> None:
    common = {
        "bind_ip": "127.0.0.1",
        "bind_port": port,
        "workers": 0,
        "user": _user(),
        "swift_dir": folder,
        "devices": folder / "devices",
        "mount_check": "false",
        "recon_cache_path": folder,
        "log_address": folder / "log",  # nobody reads it
    }
    lines = "".join(f"{key} = {value}\n" for key, value in common.items())
    (folder / f"{name}.conf").write_text(f"[DEFAULT]\n{lines}{text}\n")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _has_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.tests", b"1" * 512)
    except OSError:
        return False
    return True


def _program(name: str) -> str:
    return shutil.which(name, path="/usr/bin:/usr/sbin") or ""


def _has_swift() -> bool:
    names = [f"swift-{server}-server" for server in (*_RINGS, "proxy")]
    return os.access(_SWIFT, os.X_OK) and all(map(_program, names))


SERVERS: dict[str, tuple[Callable[[], bool], Any]] = {
    "moto": (lambda: find_spec("moto") is not None, _moto),
    "swift": (_has_swift, _swift),
}
"""Name to whether it can be run here, and how."""


@contextmanager
def s3_client(endpoint: str) -> Iterator[Any]:
    """Yield a client that may do everything."""
    import botocore.session  # the packages that s3fs brings

    session = botocore.session.get_session()
    client = session.create_client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=S3_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=S3_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
    )
    try:
        yield client
    finally:
        client.close()


def fill(endpoint: str, objects: Mapping[str, bytes]) -> str:
    """Put these objects into the bucket, instead of what has the same name; return the endpoint."""
    with s3_client(endpoint) as client:
        there = {one["Name"] for one in client.list_buckets()["Buckets"]}
        if BUCKET not in there:
            client.create_bucket(Bucket=BUCKET)
            client.create_bucket(Bucket=KEPT)
            client.put_bucket_versioning(Bucket=KEPT, VersioningConfiguration={"Status": "Enabled"})
        for name, data in objects.items():
            client.put_object(Bucket=BUCKET, Key=name, Body=data)
    return endpoint


@contextmanager
def _running(programs: Mapping[int, Sequence[str]]) -> Iterator[None]:
    """Run the program of each port until the end of the block; all listen when it begins."""
    with tempfile.TemporaryFile() as log:
        # A run that is killed leaves none of them behind.
        mortal = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        started = [
            subprocess.Popen(
                [*mortal, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_clean_environment()
            )
            for words in programs.values()
        ]

        def is_ready() -> bool:
            return all(map(_listens, programs)) or any(one.poll() is not None for one in started)

        try:
            wait_until(is_ready, "the servers to listen")
            if any(one.poll() is not None for one in started):
                log.seek(0)
                raise AssertionError(log.read().decode())
            yield
        finally:
            for one in started:
                one.kill()
                one.wait()


def _clean_environment() -> dict[str, str]:
    known = environment(S3_ENVIRONMENT)
    return {name: value for name, value in known.items() if not name.startswith("PYTHON")}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
