"""Parts of the network that live on alone when their supply is lost."""

from typing import Annotated

from pydantic import Field

from node.scenario.fields import Name, Strict


class Microgrid(Strict):
    """Everything at and below `node`: its switch to the parent opens when the supply is lost.

    The members then elect a leader over a radio mesh that loses `radio_loss_pu` of its messages; the leader forms the
    island with its storages, sheds by priority, and keeps `black_start_reserve_pu` of their energy for a start from
    darkness. While a microgrid is cut off the hub has no way to the chain: intervals are settled afterwards.
    """

    node: Name
    nominal_hz: Annotated[float, Field(ge=45, le=65)] = 50.0
    black_start_reserve_pu: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    radio_loss_pu: Annotated[float, Field(ge=0, le=0.6)] = 0.3
