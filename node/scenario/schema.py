"""The scenario format as JSON Schema: `python -m node.scenario.schema > docs/scenario.schema.json`."""

import json

from node.scenario.models import Scenario

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_text() -> str:
    """Return the JSON Schema of a scenario file, as it is published."""
    schema = {"$schema": SCHEMA_DIALECT, **Scenario.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
