"""A community after its day, served to real requests."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from market.orders import Order
from node.api.app import create_app
from node.chain import typed_data
from node.chain.keys import LocalSigner
from node.chain.typed_data import CompactSignature, Domain
from node.community import Community
from tests.serving import serve
from tests.simulation.conftest import run_corner


@dataclass(frozen=True, slots=True)
class Served:
    """A community and its API."""

    community: Community
    app: FastAPI
    client: httpx.Client

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON of a request that must succeed."""
        answer = self.client.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def walk(self, path: str, limit: int, **parameters: Any) -> list[dict[str, Any]]:
        """Return the items of all pages."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, limit=limit, **parameters, **({"cursor": cursor} if cursor else {}))
            assert len(page["items"]) <= limit
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items
            assert len(page["items"]) == limit


@dataclass(frozen=True, slots=True)
class Agent:
    """A participant's agent: makes orders for one free lane of one open interval, and signs them."""

    domain: Domain
    key: LocalSigner
    draft: Order

    def order(self, **changes: Any) -> Order:
        return replace(self.draft, **changes)

    def signature(
        self, order: Order, *, key: LocalSigner | None = None, domain: Domain | None = None
    ) -> CompactSignature:
        return typed_data.sign(key or self.key, domain or self.domain, order)

    def body(self, order: Order, *, signature: CompactSignature | None = None) -> dict[str, Any]:
        """Return the order as the API takes it."""
        signed = self.signature(order) if signature is None else signature
        return {
            "account": order.account,
            "epoch": order.epoch,
            "is_buy": order.is_buy,
            "lane": order.lane,
            "first": order.first,
            "last": order.last,
            "quantity_milli_wh": order.quantity_milli_wh,
            "limit_micro_per_kwh": order.limit_micro_per_kwh,
            "signature": f"0x{signed.to_bytes().hex()}",
        }


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    community = run_corner(tmp_path_factory.mktemp("served"))
    app = create_app(community)
    with serve(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Served(community, app, client)
    community.close()


_taken = iter(range(1_000))


@pytest.fixture
def agent(served: Served) -> Agent:
    """The agent of account 2, with an order for a lane and interval that no other test uses."""
    community = served.community
    number = next(_taken)
    # the agents' own orders for the next day are in low lanes; the day after that is still untouched
    first = community.scenario.delivery_intervals().stop + 26 + number // 16
    draft = Order(
        account=2,
        epoch=1,
        is_buy=True,
        lane=16 + number % 16,
        first=first,
        last=first,
        quantity_milli_wh=500_000,
        limit_micro_per_kwh=210_000,
    )
    return Agent(community.domain, community.keys.agent("sun"), draft)
