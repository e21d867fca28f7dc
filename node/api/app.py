"""The application: routes, problems, and the OpenAPI description."""

from fastapi import FastAPI

from node.api import (
    description,
    page,
    problems,
    routes_chain,
    routes_islands,
    routes_market,
    routes_members,
    routes_plant,
    routes_prices,
    routes_racks,
    routes_timeslots,
)
from node.api.context import Context
from node.community import Community

DESCRIPTION = """
Trade energy with your neighbours, and see why you paid what you paid.

**Units.** Energy is in milli-watt-hours, prices in micro-credit per kWh, money in pico-credit, all integers:
price x energy = money exactly. Money reaches 79 bits, so parse JSON with big integers. **Times** are RFC 3339 in
UTC, ranges are half-open. **Lists** are paged by an opaque cursor. **Errors** are RFC 9457 problems.

**Orders** are EIP-712 messages signed by an account's agent key; `/v1/terms` has the domain and the type.
"""


def create_app(community: Community) -> FastAPI:
    """Return the API of one community."""
    app = FastAPI(
        title="Symbiotic Grid",
        version="1",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.context = Context(community)
    problems.install(app)
    description.install(app)
    for one in (
        routes_members,
        routes_market,
        routes_prices,
        routes_plant,
        routes_islands,
        routes_racks,
        routes_timeslots,
        routes_chain,
        page,
    ):
        app.include_router(one.router)
    app.include_router(routes_chain.operations)
    return app
