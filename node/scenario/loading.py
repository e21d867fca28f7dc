"""Reads a scenario file: every mistake is told with file, line, column, field and what was expected."""

import difflib
import types
import typing
from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel

from node.scenario import generated
from node.scenario.consistency import find_mistakes
from node.scenario.mistakes import Location, Mistake
from node.scenario.models import Scenario
from node.scenario.yaml_positions import YamlMistake, YamlTree, parse

MAX_FILE_BYTES = 8_000_000
SHOWN_VALUE_CHARACTERS = 40


class ScenarioError(Exception):
    """A scenario that cannot be used; `.lines` has one line a mistake: `file:line:column: field: message`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def load(
    path: str | Path, *, days: int | None = None, seed: int | None = None, homes: int | None = None
) -> Scenario:
    """Read, check and complete a scenario.

    Parameters
    ----------
    path : path of the YAML file
    days, seed : override the file's values
    homes : overrides `generated_homes.count`

    Returns
    -------
    Scenario
        With generated homes written out as participants: `generated_homes` is None.

    Raises
    ------
    ScenarioError
        With one line per mistake.
    """
    path = Path(path)
    tree = _read(path)
    data = dict(tree.value) if isinstance(tree.value, dict) else tree.value
    if isinstance(data, dict):
        overrides = {"days": days, "seed": seed}
        data.update({name: value for name, value in overrides.items() if value is not None})
        if homes is not None:
            if not isinstance(data.get("generated_homes"), dict):
                raise ScenarioError([f"{path}:1:1: generated_homes: needed to set the number of homes"])
            data["generated_homes"] = {**data["generated_homes"], "count": homes}
    try:
        scenario = Scenario.model_validate(data)
        mistakes = find_mistakes(scenario)
        if not mistakes and scenario.generated_homes is not None:
            nodes, people = generated.expand(scenario.generated_homes)
            scenario = Scenario.model_validate(
                {
                    **data,
                    "generated_homes": None,
                    "network": (*data["network"], *nodes),
                    "participants": (*data.get("participants", ()), *people),
                }
            )
            mistakes = find_mistakes(scenario)
    except pydantic.ValidationError as error:
        mistakes = [_mistake(detail) for detail in error.errors()]
        raise ScenarioError([_line(path, tree, mistake) for mistake in mistakes]) from error
    if mistakes:
        raise ScenarioError([_line(path, tree, mistake) for mistake in mistakes])
    return scenario


def _read(path: Path) -> YamlTree:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ScenarioError([f"{path}: larger than {MAX_FILE_BYTES} bytes: no scenario"])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ScenarioError([f"{path}: not UTF-8 text (byte {error.start})"]) from error
    try:
        return parse(text)
    except YamlMistake as error:
        raise ScenarioError([f"{path}:{error.line}:{error.column}: {error.message}"]) from error


def _line(path: Path, tree: YamlTree, mistake: Mistake) -> str:
    line, column, field = tree.position(mistake.location)
    return f"{path}:{line}:{column}: {field}: {mistake.message}"


def _mistake(detail: Any) -> Mistake:
    """Translate one pydantic error into our words."""
    where: Location = tuple(detail["loc"])
    kind, given = detail["type"], detail["input"]
    cause = detail.get("ctx", {}).get("error")
    if kind == "missing":
        return Mistake(where, "required, but missing")
    if kind == "extra_forbidden":
        return Mistake(where, _unknown_field(where))
    if kind == "model_type" or kind == "model_attributes_type":
        return Mistake(where, f"expected a mapping of fields, got {_shown(given)}")
    if kind == "union_tag_invalid":
        kinds = detail["ctx"]["expected_tags"].replace("'", "")
        return Mistake((*where, "kind"), f"expected one of {kinds}, got {_shown(given.get('kind'))}")
    if kind == "union_tag_not_found":
        return Mistake((*where, "kind"), "required, but missing")
    if isinstance(cause, ValueError):
        message = str(cause)
    else:
        message = detail["msg"].replace("Input should be a ", "expected a ")
        message = message.replace("Input should be", "expected a value")
    needs_value = not isinstance(given, dict | BaseModel)
    return Mistake(where, f"{message}, got {_shown(given)}" if needs_value else message)


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= SHOWN_VALUE_CHARACTERS else text[: SHOWN_VALUE_CHARACTERS - 3] + "..."


def _unknown_field(where: Location) -> str:
    known = sorted(set().union(*(model.model_fields for model in _models_at(where[:-1]))))
    close = difflib.get_close_matches(str(where[-1]), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"unknown field; {hint}"


def _models_at(where: Location) -> list[type[BaseModel]]:
    """Return the models a place in the file may hold: more than one only where kinds are told apart."""
    candidates: list[Any] = [Scenario]
    for step in where:
        following: list[Any] = []
        for model in candidates:
            fields = model.model_fields
            if isinstance(step, int):
                following.append(model)  # an item of a list has the list's item type
            elif step in fields:
                following.extend(_models_in(fields[step].annotation))
            elif "kind" in fields and step in typing.get_args(fields["kind"].annotation):
                following.append(model)  # pydantic names the kind it chose
        candidates = following
    return candidates


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
