"""Builders of small communities for the strategy's tests."""

from collections.abc import Callable

import numpy as np
import pytest

from node.agent.strategy import Outlook, StorageFleet

SHORT, LONG = 300_000.0, 80_000.0


@pytest.fixture
def fleet_of() -> Callable[..., StorageFleet]:
    """Build equal storages: `fleet_of(accounts, capacity_wh=..., p_w=..., eta=..., ...)`."""

    def build(
        accounts,
        *,
        capacity_wh=10_000.0,
        p_w=5_000.0,
        eta=1.0,
        reserve_wh=0.0,
        wear=0.0,
        markup=0.0,
        self_discharge_w=0.0,
        **more,
    ):
        ones = np.ones(len(accounts))
        return StorageFleet(
            account=np.asarray(accounts, dtype=np.int64),
            capacity_wh=capacity_wh * ones,
            reserve_wh=reserve_wh * ones,
            p_charge_max_w=p_w * ones,
            p_discharge_max_w=p_w * ones,
            charge_efficiency_pu=eta * ones,
            discharge_efficiency_pu=eta * ones,
            wear_micro_per_kwh=wear * ones,
            markup_micro_per_kwh=markup * ones,
            self_discharge_w=self_discharge_w * ones,
            **more,
        )

    return build


@pytest.fixture
def outlook_of() -> Callable[..., Outlook]:
    """Build an outlook of quarter hours from net exports in Wh: positive is solar, negative is load."""

    def build(net_wh, *, first=1_000, short=SHORT, long=LONG, cap_w=30_000.0, **more):
        net = np.atleast_2d(np.asarray(net_wh, dtype=float))
        n = net.shape[0]
        return Outlook.of(
            first,
            900,
            np.arange(n) + 2,
            np.full(n, cap_w),
            np.full(n, cap_w),
            np.maximum(-net, 0.0),
            np.maximum(net, 0.0),
            short,
            long,
            **more,
        )

    return build
