"""The OpenAPI description is complete, and the API keeps to it whatever is thrown at it."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from node.api.app import create_app

OPERATIONS = [
    (path, method)
    for path, methods in create_app(None).openapi()["paths"].items()  # type: ignore[arg-type]
    for method in methods
]


@pytest.fixture(scope="session")
def schema(served):
    return schemathesis.openapi.from_url(f"{served.client.base_url}/openapi.json")


@pytest.fixture(scope="session")
def document(served):
    return served.get("/openapi.json")


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_says_what_it_does_and_how_it_fails(document):
    for name, operation in operations(document):
        assert operation["description"].strip(), name
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            if status == "default" or int(status) >= 400:
                problem = response["content"]["application/problem+json"]
                assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}, (name, status)
                assert problem["example"], (name, status)
        assert "default" in operation["responses"], name


def test_every_parameter_has_a_description_and_an_example(document):
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            where = (name, parameter["name"])
            assert parameter.get("description"), where
            assert parameter["schema"].get("examples"), where


def test_every_field_of_every_schema_has_an_example(document):
    for name, schema in document["components"]["schemas"].items():
        for field, content in schema["properties"].items():
            refers = "$ref" in content or "$ref" in content.get("items", {})
            variants = content.get("anyOf", ())
            assert refers or content.get("examples") or any(v.get("examples") for v in variants), (
                name,
                field,
            )


def test_numbers_of_the_market_are_integers(document):
    for name, schema in document["components"]["schemas"].items():
        for field, content in schema["properties"].items():
            if field.endswith(("_milli_wh", "_pico", "_micro_per_kwh")):
                kinds = {content.get("type")} | {v["type"] for v in content.get("anyOf", ())}
                assert kinds <= {"integer", "null", None}, (name, field)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_the_api_keeps_to_its_description(schema, path, method):
    operation = schema[path][method]

    @settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def holds(case):
        # No schema can say which opaque cursor is ours, or which signature an agent's.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    holds()
