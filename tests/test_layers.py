"""The arrows between the layers, and the one home of every third-party package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent / "tgmtool"

# A layer may import itself, what stands here, and the modules of OPEN.
ARROWS = {
    "errors": frozenset[str](),
    "limits": frozenset[str](),
    "wire": frozenset[str](),
    "codecs": frozenset[str](),
    "messages": frozenset({"wire", "codecs"}),
    "endpoints": frozenset[str](),
    "operations": frozenset({"endpoints", "messages", "wire", "codecs"}),
    "cli": frozenset({"operations", "endpoints", "messages", "wire", "codecs"}),
    "__main__": frozenset({"cli"}),
    "__init__": frozenset({"operations", "endpoints", "messages"}),
}
OPEN = {"errors", "limits", "__init__"}  # __init__: `from .. import __version__`

# Where a package may be imported: a folder, a module, or a prefix of modules.
HOMES = {
    "xxhash": ("wire.digest",),
    "cbor2": ("messages.cbor",),
    "fsspec": ("endpoints",),
    "s3fs": ("endpoints",),
    "watchfiles": ("endpoints.watch",),
    "typer": ("cli",),
    "rich": ("cli",),
    "zstandard": ("codecs",),
    "ml_dtypes": ("codecs",),
    "lz4": ("codecs.lz4",),
    "blosc2": ("codecs.blosc2",),
    "zfpy": ("codecs.zfp",),
    "pysz": ("codecs.sz3",),
    "findlibs": ("codecs.szip",),
    "jsonschema": ("operations.policies",),
    "eccodes": ("operations.inputs.grib",),
    "xarray": ("operations.inputs.datasets",),
    "numpy": ("codecs", "operations", "messages.objects", "messages.assembly"),
}
# Start-up is a promise: these are imported in the function that needs them, or for types alone.
LAZY = {"numpy", "xxhash", "cbor2", "fsspec", "s3fs", "watchfiles", "zstandard", "ml_dtypes", "rich"}
LAZY |= {"lz4", "blosc2", "zfpy", "pysz", "findlibs", "eccodes", "xarray", "jsonschema"}


class Import(NamedTuple):
    """One import statement of one module."""

    module: str
    line: int
    target: str
    at_start: bool

    @property
    def layer(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"tgmtool/{self.module.replace('.', '/')}, line {self.line}: imports {self.target}"


def modules() -> list[tuple[str, Path]]:
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), path) for path in sorted(ROOT.rglob("*.py"))
    ]


def imports_of(module: str, tree: ast.Module) -> Iterator[Import]:
    """Yield every import, also those in functions; relative ones as `tgmtool.…`."""
    for node, at_start in statements(tree, at_start=True):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield Import(module, node.lineno, name.name, at_start)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for name in node.names:
                yield Import(module, node.lineno, f"{base}.{name.name}", at_start)


def statements(node: ast.AST, *, at_start: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Yield every node, and whether it runs when its module is imported."""
    for child in ast.iter_child_nodes(node):
        yield child, at_start
        inner = at_start and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            inner = False
        yield from statements(child, at_start=inner)


def absolute(module: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    # Of a package's own __init__, one dot is the package itself.
    package = ["tgmtool", *module.split(".")][: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


IMPORTS = [
    found
    for module, path in modules()
    for found in imports_of(module, ast.parse(path.read_text(encoding="utf-8")))
]


def layer_of(target: str) -> str | None:
    """The layer that `tgmtool.LAYER.…` belongs to; None for other packages."""
    package, _, rest = target.partition(".")
    if package != "tgmtool":
        return None
    first = rest.split(".")[0]
    return first if first in ARROWS else "__init__"


def test_every_module_belongs_to_a_layer() -> None:
    assert {module.split(".")[0] for module, _ in modules()} <= set(ARROWS)


def test_imports_follow_the_arrows() -> None:
    broken = [
        str(found)
        for found in IMPORTS
        if (layer := layer_of(found.target)) is not None
        and layer not in {found.layer, *OPEN, *ARROWS[found.layer]}
    ]
    assert broken == []


def test_errors_and_limits_import_nothing_of_ours_but_errors() -> None:
    ours = [found for found in IMPORTS if found.layer in {"errors", "limits"} and layer_of(found.target)]
    assert {layer_of(found.target) for found in ours} <= {"errors"}


@pytest.mark.parametrize(("one", "other"), [("wire", "codecs"), ("codecs", "wire"), ("endpoints", "wire")])
def test_two_layers_do_not_know_each_other(one: str, other: str) -> None:
    assert [str(found) for found in IMPORTS if found.layer == one and layer_of(found.target) == other] == []


@pytest.mark.parametrize("package", list(HOMES))
def test_a_package_is_imported_in_its_home_alone(package: str) -> None:
    strays = [
        str(found)
        for found in IMPORTS
        if found.target.split(".")[0] == package
        and not any(found.module == home or found.module.startswith(home + ".") for home in HOMES[package])
    ]
    assert strays == []


def test_every_package_that_is_imported_has_a_home() -> None:
    packages = {found.target.split(".")[0] for found in IMPORTS}
    assert packages - sys.stdlib_module_names - {"tgmtool"} - set(HOMES) == set()


def test_heavy_packages_are_imported_when_they_are_used() -> None:
    early = [str(found) for found in IMPORTS if found.at_start and found.target.split(".")[0] in LAZY]
    assert early == []


NO_INPUT_OR_OUTPUT = {"asyncio", "io", "os", "pathlib", "select", "socket", "tempfile", "threading", "time"}


def test_the_wire_layer_opens_nothing_sleeps_never_and_reads_no_clock() -> None:
    found = {one.target.split(".")[0] for one in IMPORTS if one.layer == "wire"}
    assert found & NO_INPUT_OR_OUTPUT == set()


@pytest.mark.parametrize("module", ["tgmtool", "tgmtool.wire.decoder"])
def test_importing_it_imports_nothing_heavy(module: str) -> None:
    heavy = ["numpy", "typer", "rich", "fsspec", "zstandard", "cbor2"]
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_the_scan_of_imports_sees_every_kind_of_import() -> None:
    source = """
import a.b
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import c
def f():
    from ..wire import layout
async def g():
    from . import cbor
"""
    found = [(one.target, one.at_start) for one in imports_of("messages.index", ast.parse(source))]
    assert found == [
        ("a.b", True),
        ("typing.TYPE_CHECKING", True),
        ("c", False),
        ("tgmtool.wire.layout", False),
        ("tgmtool.messages.cbor", False),
    ]
