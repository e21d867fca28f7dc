"""Wishes at the door: what the market cannot honour is refused, not ignored."""

from market.errors import OrderRefused, RefusalReason
from market.orders import Source, Wish
from node.hub.registry import Registry

_ANY = Source.ANY  # an enum's members are looked up at a price, and the door asks for every order


class WishDesk:
    """Knows who is here to be wished for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._sellers_of: dict[Source, int] = {
            source: int(((registry.sources >> source) & 1).sum()) for source in Source if source != Source.ANY
        }

    def check(self, wish: Wish, row: int, *, is_buy: bool) -> None:
        """Refuse a wish of the account in a row that nobody here could ever meet.

        Raises
        ------
        OrderRefused
            A bid's source that no other account can sell from, an offer's that its own devices do not have, a
            partner who is not connected or is the account itself, a group without other members.
        """
        registry = self._registry
        if wish.source != _ANY:
            is_own = bool(registry.sources[row] >> wish.source & 1)
            name = wish.source.name.lower()
            if not is_buy and not is_own:
                raise _refused(f"account {registry.account[row]} has no {name} to deliver from")
            if is_buy and self._sellers_of[wish.source] <= is_own:
                raise _refused(f"no other account can sell from {name}")
        if wish.partner:
            if registry.row(wish.partner) is None:
                raise _refused(f"partner {wish.partner} is not connected here")
            if wish.partner == registry.account[row]:
                raise _refused(f"account {wish.partner} wishes to trade with itself")
        if wish.group:
            others = int((registry.member_of == wish.group).sum()) - int(
                registry.member_of[row] == wish.group
            )
            if not others:
                raise _refused(f"group {wish.group} has no other member here")


def _refused(detail: str) -> OrderRefused:
    return OrderRefused(RefusalReason.WISH, detail)
