"""YAML as plain values that remember where each one stood in the file.

A subset without surprises: keys are unique strings, sequences become tuples, `17:00` stays text (YAML 1.1
would read 1020), `1e6` is a number, and dates are dates.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from node.scenario.mistakes import Location

Position = tuple[int, int]

# More values than any scenario file below the size limit holds; aliases of aliases get there quickly.
MAX_VALUES = 400_000
MAX_DEPTH = 40


class YamlMistake(Exception):
    """Text that is no YAML of ours; `.line` and `.column` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"{line}:{column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class YamlTree:
    """Plain values and the positions of every key and value, by location."""

    value: Any
    positions: dict[Location, Position]

    def position(self, location: Location) -> tuple[int, int, str]:
        """Return line, column and readable name of the nearest place in the file to a location.

        Steps that the file does not have (a missing field, the kind of a union) are passed over.
        """
        at: Location = ()
        named: Location = ()
        for step in location:
            if (*at, step) in self.positions:
                at = (*at, step)
                named = (*named, step)
            elif step == location[-1]:
                named = (*named, step)
        line, column = self.positions[at]
        return line, column, _name(named)


def parse(text: str) -> YamlTree:
    """Parse one YAML document.

    Raises
    ------
    YamlMistake
        With the position, for broken YAML, a repeated key, a key that is no text, or an unknown tag.
    """
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise YamlMistake("empty: expected a scenario", 1, 1)
        positions: dict[Location, Position] = {(): _start(root)}
        value = _value(loader, root, (), positions)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlMistake(f"broken YAML: {error.problem or error.context}", line, column) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        message = f"broken YAML: character U+{error.character:04X} is not allowed"
        raise YamlMistake(message, len(before), len(before[-1]) + 1) from error
    finally:
        if loader is not None:
            loader.dispose()
    return YamlTree(value, positions)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without base-60 numbers, with `1e6` as a number and with bounded depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise YamlMistake(f"nested deeper than {MAX_DEPTH}", mark.line + 1, mark.column + 1)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("int", "float")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|nan)$"
    ),
    list("-+.0123456789"),
)


def _start(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _value(loader: _Loader, node: yaml.Node, at: Location, positions: dict[Location, Position]) -> Any:
    if len(positions) > MAX_VALUES:
        raise YamlMistake(f"more than {MAX_VALUES} values: aliases that multiply", *_start(node))
    if len(at) > MAX_DEPTH:
        raise YamlMistake("an alias that holds itself", *_start(node))
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)  # `<<: *anchor`
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.tag.endswith(":str"):
                raise YamlMistake("expected a field name (text) as key", *_start(key_node))
            if key in result:
                raise YamlMistake(f"{key} is given twice", *_start(key_node))
            positions[(*at, key)] = _start(key_node)
            result[key] = _value(loader, value_node, (*at, key), positions)
        return result
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            positions[(*at, i)] = _start(item)
        return tuple(_value(loader, item, (*at, i), positions) for i, item in enumerate(node.value))
    return _scalar(loader, node)


def _scalar(loader: _Loader, node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    text = str(node.value)
    try:
        match kind:
            case "int":
                return int(text.replace("_", ""))  # decimal always: YAML 1.1 would read 010 as eight
            case "float":
                plain = text.replace("_", "")
                return float(plain.replace(".inf", "inf").replace(".nan", "nan"))
            case "timestamp":
                return date.fromisoformat(text)
            case "null":
                return None
            case "bool" | "str":
                return loader.construct_object(node)
    except ValueError as error:
        raise YamlMistake(f"expected a date YYYY-MM-DD or quoted text, got {text}", *_start(node)) from error
    raise YamlMistake(f"unknown YAML tag {node.tag}", *_start(node))


def _name(location: Location) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".") or "scenario"
