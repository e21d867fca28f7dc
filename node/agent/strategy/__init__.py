"""Strategy: what agents expect, how they plan storage, what they bid, what they leave to the supplier.

Pure and vectorised over a whole community. The way of one round:
`forecast` -> `Outlook.of` -> `plan_storages` -> `day_ahead_orders` / `intraday_orders` -> `to_orders`, and
after the last round `schedule`.
"""

from node.agent.strategy.bidding import OrderBatch, day_ahead_orders, intraday_orders, to_orders
from node.agent.strategy.errors import InvalidOutlook, InvalidStorage, PlanFailed, StrategyError
from node.agent.strategy.forecast import (
    carry_load_error,
    carry_solar_ratio,
    expected_load_and_solar,
    expected_price,
    seasonal_naive,
    similar_net,
)
from node.agent.strategy.outlook import Outlook
from node.agent.strategy.reserve import (
    Held,
    Recovery,
    narrowed,
    recovering,
    reserve_price_micro_per_kwh,
    reserve_room_w,
)
from node.agent.strategy.schedule import Schedule, schedule
from node.agent.strategy.storage_plan import StoragePlan, plan_myopically, plan_storages
from node.agent.strategy.storages import StorageCalendar, StorageFleet

__all__ = [
    "Held",
    "InvalidOutlook",
    "InvalidStorage",
    "OrderBatch",
    "Outlook",
    "PlanFailed",
    "Recovery",
    "Schedule",
    "StorageCalendar",
    "StorageFleet",
    "StoragePlan",
    "StrategyError",
    "carry_load_error",
    "carry_solar_ratio",
    "day_ahead_orders",
    "expected_load_and_solar",
    "expected_price",
    "intraday_orders",
    "narrowed",
    "plan_myopically",
    "plan_storages",
    "recovering",
    "reserve_price_micro_per_kwh",
    "reserve_room_w",
    "schedule",
    "seasonal_naive",
    "similar_net",
    "to_orders",
]
