"""Which way every conditional jump of the contracts' bytecode went.

The compiler's source map tells where a jump comes from. A jump of the source (an assert, `if`, `and`, `or`, a
conditional expression, a loop) has to go both ways. Jumps that the compiler adds by itself are left out:
calldata that is no ABI encoding, value sent with a call, the dispatch of selectors, and arithmetic and bounds
checks, which the asserts before them make unreachable.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from eth.vm.code_stream import CodeStream
from vyper.compiler import compile_from_file_input
from vyper.compiler.input_bundle import FilesystemInputBundle

JUMPI: Final = 0x57
PUSH1: Final = 0x60
PUSH32: Final = 0x7F
ASSERT: Final = "user revert with reason"


@dataclass
class Code:
    """A contract's code with its source map and the ways its jumps went."""

    name: str
    raw: bytes
    lines: dict[int, str]
    checks: dict[int, str]
    length: int
    went: set[tuple[int, bool]] = field(default_factory=set)

    def jumps(self) -> Iterator[int]:
        """Yield the positions of conditional jumps."""
        at = 0
        while at < self.length:
            operation = self.raw[at]
            if operation == JUMPI:
                yield at
            at += 1 + (operation - PUSH1 + 1 if PUSH1 <= operation <= PUSH32 else 0)

    def of_source(self) -> list[int]:
        """Return the conditional jumps that the source wrote."""
        return [
            at
            for at in self.jumps()
            if self.checks.get(at) == ASSERT or (at in self.lines and at not in self.checks)
        ]

    def missed(self) -> list[str]:
        """Return the jumps of the source that did not go both ways."""
        return [
            f"{self.name}: {self.lines.get(at, 'an assert')} never {'jumped' if way else 'fell through'}"
            for at in self.of_source()
            for way in (True, False)
            if (at, way) not in self.went
        ]


def compile_with_map(sources: Path, name: str) -> list[Code]:
    """Return a contract's creation code and its runtime code."""
    bundle = FilesystemInputBundle([sources])
    formats = ["bytecode", "bytecode_runtime", "source_map", "source_map_runtime", "annotated_ast_dict"]
    output = compile_from_file_input(
        bundle.load_file(f"{name}.vy"), input_bundle=bundle, output_formats=formats
    )
    tree = output["annotated_ast_dict"]
    modules = (tree["ast"], *tree["imports"])
    paths = {module["source_id"]: Path(module["resolved_path"]) for module in modules}
    added = {(module["source_id"], node) for module in modules for node in _added(module)}
    runtime = _code(name, output["bytecode_runtime"], output["source_map_runtime"], paths, added)
    creation = _code(f"{name}, creation", output["bytecode"], output["source_map"], paths, added)
    # the creation code carries the runtime code with it, as data
    creation.length = creation.raw.index(runtime.raw)
    return [creation, runtime]


def _added(tree: Any) -> Iterator[int]:
    """Yield the syntax nodes whose jumps the compiler adds: reading arguments, an ecrecover out of gas."""
    if isinstance(tree, list):
        for part in tree:
            yield from _added(part)
    elif isinstance(tree, dict):
        kind = tree.get("ast_type")
        if kind == "FunctionDef" or (kind == "Call" and tree["func"].get("id") == "ecrecover"):
            yield tree["node_id"]
        for part in tree.values():
            yield from _added(part)


def _code(
    name: str, bytecode: str, source_map: Any, paths: dict[int, Path], added: set[tuple[int, int]]
) -> Code:
    raw = bytes.fromhex(bytecode.removeprefix("0x"))
    lines = {}
    for at, (line, column, *_) in source_map["pc_pos_map"].items():
        node = tuple(source_map["pc_ast_map"].get(at, ()))
        if node and node not in added:
            path = paths[node[0]]
            text = path.read_text().splitlines()[line - 1].strip()
            lines[int(at)] = f"{path.name}:{line}:{column} {text}"
    checks = {int(at): kind for at, kind in source_map["error_map"].items()}
    return Code(name, raw, lines, checks, len(raw))


@contextmanager
def recorded(codes: list[Code]) -> Iterator[None]:
    """Record the jumps of these codes wherever they run."""
    original = CodeStream.__iter__
    known: dict[bytes, Code | None] = {}

    def find(raw: bytes) -> Code | None:
        # immutables follow the runtime code, arguments the creation code
        return max(
            (code for code in codes if raw.startswith(code.raw)), key=lambda code: len(code.raw), default=None
        )

    def steps(stream: Any) -> Iterator[int]:
        raw = stream._raw_code_bytes
        if raw not in known:
            known[raw] = find(raw)
        code = known[raw]
        if code is None:
            yield from original(stream)
            return
        for operation in original(stream):
            at = stream.program_counter - 1
            yield operation
            if operation == JUMPI:
                code.went.add((at, stream.program_counter != at + 1))

    CodeStream.__iter__ = steps  # type: ignore[method-assign]
    try:
        yield
    finally:
        CodeStream.__iter__ = original  # type: ignore[method-assign]
