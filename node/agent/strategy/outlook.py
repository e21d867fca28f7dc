"""Outlook: what every account expects of the coming intervals, in energy and in prices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from market.network_auction_tree import MarketTree
from node.agent.strategy.areas import expect
from node.agent.strategy.errors import InvalidOutlook

Floats = NDArray[np.float64]

SECONDS_PER_HOUR = 3_600.0


# How far an agent trusts yesterday's clearing prices over the prior. Little: a price tells who was on the
# margin, not how much there was. Storages that were short of surplus yesterday bid its price up; believing
# that price again, they would buy at night from the supplier what the sun brings at noon.
PRICE_TRUST_PU = 0.25


@dataclass(frozen=True, slots=True)
class Outlook:
    """Expectations of a community over a horizon; build it with `Outlook.of`.

    Attributes
    ----------
    first : int
        Index of the first interval of the horizon.
    length_s : int
        Length of an interval.
    account : NDArray[np.int64]
        Ledger number of each account, `(n_accounts,)`.
    import_cap_w, export_cap_w : Floats
        Capacity of each connection, `(n_accounts,)`.
    load_wh, solar_wh : Floats
        Forecast per account and interval, `(n_accounts, n_intervals)`.
    short_micro_per_kwh, long_micro_per_kwh : Floats
        What the supplier charges for missing, and pays for surplus energy, `(n_accounts, n_intervals)`; the
        latter less what is likely to be curtailed behind a full edge.
    zone : NDArray[np.int64]
        Price zone of each account, `(n_accounts,)`.
    price_micro_per_kwh : Floats
        Expected net clearing price by zone, `(n_zones, n_intervals)`.
    levy_micro_per_kwh : Floats
        Due on metered import whoever sold it, `(n_accounts, n_intervals)`.
    levy_back_micro_per_kwh : Floats
        Part of it that a storage gets back on what it feeds back, `(n_accounts, n_intervals)`.
    fee_micro_per_kwh : float
        The operator's fee, each side.
    surplus_wh, deficit_wh : Floats
        How much the storages of the zone's area together can buy, and sell, at about that price,
        `(n_zones, n_intervals)`; infinite in a deep market.
    room_in_wh, room_out_wh : Floats
        How much more the network carries between the zone and the rest of its area, `(n_zones, n_intervals)`.
    area : NDArray[np.int64]
        Area of one price to which each zone belongs, `(n_zones, n_intervals)`: see `areas`.
    position_milli_wh : NDArray[np.int64]
        Sold minus bought so far, `(n_accounts, n_intervals)`.
    similar_net_wh : Floats
        Net export before storages act as it may come instead of `net_export_wh`, `(n_samples, n_accounts,
        n_intervals)`; NaN where there is no sample.
    """

    first: int
    length_s: int
    account: NDArray[np.int64]
    import_cap_w: Floats
    export_cap_w: Floats
    load_wh: Floats
    solar_wh: Floats
    short_micro_per_kwh: Floats
    long_micro_per_kwh: Floats
    zone: NDArray[np.int64]
    price_micro_per_kwh: Floats
    levy_micro_per_kwh: Floats
    levy_back_micro_per_kwh: Floats
    fee_micro_per_kwh: float
    surplus_wh: Floats
    deficit_wh: Floats
    room_in_wh: Floats
    room_out_wh: Floats
    area: NDArray[np.int64]
    position_milli_wh: NDArray[np.int64]
    similar_net_wh: Floats

    @classmethod
    def of(
        cls,
        first: int,
        length_s: int,
        account: ArrayLike,
        import_cap_w: ArrayLike,
        export_cap_w: ArrayLike,
        load_wh: ArrayLike,
        solar_wh: ArrayLike,
        short_micro_per_kwh: ArrayLike,
        long_micro_per_kwh: ArrayLike,
        *,
        zone: ArrayLike = 0,
        tree: MarketTree | None = None,
        price_micro_per_kwh: ArrayLike | None = None,
        price_trust_pu: float = PRICE_TRUST_PU,
        levy_micro_per_kwh: ArrayLike = 0.0,
        levy_back_micro_per_kwh: ArrayLike = 0.0,
        fee_micro_per_kwh: float = 0.0,
        is_deep: bool = False,
        position_milli_wh: ArrayLike = 0,
        similar_net_wh: Floats | None = None,
    ) -> "Outlook":
        """Check and broadcast an outlook; tariffs may be a number, `(n_intervals,)` or per account too.

        Parameters
        ----------
        zone : ArrayLike
            Price zone of each account.
        tree : MarketTree | None
            The zones' network; None where all trade at one price.
        price_micro_per_kwh : ArrayLike | None
            Expected net price, `(n_intervals,)` or `(n_zones, n_intervals)`; NaN or None where nothing is known:
            the prior of `areas.expect` stands in.
        price_trust_pu : float
            How far to trust that price over the prior: 0 not at all, 1 entirely (a published forecast).
        is_deep : bool
            Whether the market takes any quantity at the expected price (a wholesale market).
        similar_net_wh : Floats | None
            How net export may come, `(n_samples, n_accounts, n_intervals)`; None: as forecast, without doubt.

        Raises
        ------
        InvalidOutlook
            If shapes do not fit, a number is not finite, an energy or capacity is negative, or the supplier
            pays more for surplus than it charges for a shortfall.
        """
        load = np.asarray(load_wh, dtype=np.float64)
        if load.ndim != 2:
            raise InvalidOutlook(f"load_wh has shape {load.shape}: need (n_accounts, n_intervals)")
        n, horizon = load.shape

        def table(values: ArrayLike, name: str, shape: tuple[int, ...] = (n, horizon)) -> Floats:
            try:
                full = np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
            except ValueError:
                raise InvalidOutlook(f"{name} has shape {np.shape(values)}: need {shape}") from None
            if not np.isfinite(full).all():
                where = np.argwhere(~np.isfinite(full))[0].tolist()
                raise InvalidOutlook(f"{name} at {where} is not finite: need a number")
            return full

        solar = table(solar_wh, "solar_wh")
        caps = [table(import_cap_w, "import_cap_w", (n,)), table(export_cap_w, "export_cap_w", (n,))]
        load = table(load, "load_wh")
        for name, values in (
            ("load_wh", load),
            ("solar_wh", solar),
            ("import_cap_w", caps[0]),
            ("export_cap_w", caps[1]),
        ):
            if (values < 0).any():
                where = np.argwhere(values < 0)[0].tolist()
                raise InvalidOutlook(f"{name} at {where} is {values[tuple(where)]}: need >= 0")
        short = table(short_micro_per_kwh, "short_micro_per_kwh")
        long = table(long_micro_per_kwh, "long_micro_per_kwh")
        if (long > short).any():
            where = np.argwhere(long > short)[0].tolist()
            raise InvalidOutlook(
                f"long tariff at {where} is {long[tuple(where)]}, above the short tariff "
                f"{short[tuple(where)]}: need long <= short"
            )
        levy = table(_by_account(levy_micro_per_kwh), "levy_micro_per_kwh")
        levy_back = table(_by_account(levy_back_micro_per_kwh), "levy_back_micro_per_kwh")
        if ((levy_back < 0) | (levy_back > levy)).any():
            where = np.argwhere((levy_back < 0) | (levy_back > levy))[0].tolist()
            raise InvalidOutlook(
                f"levy_back_micro_per_kwh at {where} is {levy_back[tuple(where)]}: "
                f"need 0..{levy[tuple(where)]}"
            )
        position = np.broadcast_to(np.asarray(position_milli_wh, dtype=np.int64), (n, horizon))
        n_zones = 1 if tree is None else tree.n_nodes
        zones = np.broadcast_to(np.asarray(zone, dtype=np.int64), (n,))
        if n and not 0 <= int(zones.min()) <= int(zones.max()) < n_zones:
            raise InvalidOutlook(f"zones range over {zones.min()}..{zones.max()}: need 0..{n_zones - 1}")
        areas = expect(
            _by_zone(solar - load, zones, n_zones),
            _by_zone(load + solar, zones, n_zones),
            _mean_by_zone(short, zones, n_zones),
            _mean_by_zone(long, zones, n_zones),
            tree,
        )
        prior = areas.price_micro_per_kwh
        # What the network cannot take earns nothing; a negative price is owed for the whole of it.
        long = np.where(long > 0, long * areas.kept_pu[zones], long)
        known = np.asarray(np.nan if price_micro_per_kwh is None else price_micro_per_kwh, dtype=float)
        if known.ndim and known.shape not in ((horizon,), (n_zones, horizon)):
            raise InvalidOutlook(
                f"price_micro_per_kwh has shape {known.shape}: need ({horizon},) or ({n_zones}, {horizon})"
            )
        deep = np.full((n_zones, horizon), np.inf)
        similar = np.empty((0, n, horizon)) if similar_net_wh is None else similar_net_wh
        if similar.shape[1:] != (n, horizon):
            raise InvalidOutlook(
                f"similar_net_wh has shape {similar.shape}: need (n_samples, {n}, {horizon})"
            )
        return cls(
            first=int(first),
            length_s=int(length_s),
            account=np.asarray(account, dtype=np.int64).reshape(n),
            import_cap_w=caps[0],
            export_cap_w=caps[1],
            load_wh=load,
            solar_wh=solar,
            short_micro_per_kwh=short,
            long_micro_per_kwh=long,
            zone=zones,
            price_micro_per_kwh=np.where(np.isfinite(known), prior + price_trust_pu * (known - prior), prior),
            levy_micro_per_kwh=levy,
            levy_back_micro_per_kwh=levy_back,
            fee_micro_per_kwh=float(fee_micro_per_kwh),
            surplus_wh=deep if is_deep else areas.surplus_wh,
            deficit_wh=deep if is_deep else areas.deficit_wh,
            room_in_wh=areas.room_in_wh,
            room_out_wh=areas.room_out_wh,
            area=areas.area,
            position_milli_wh=position,
            similar_net_wh=similar,
        )

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return int(self.load_wh.shape[0])

    @property
    def n_intervals(self) -> int:
        """Number of intervals of the horizon."""
        return int(self.load_wh.shape[1])

    @property
    def hours(self) -> float:
        """Length of an interval in hours: Wh = W * hours."""
        return self.length_s / SECONDS_PER_HOUR

    def levy_at(
        self, account: NDArray[np.int64], interval: NDArray[np.int64] | int, net_export_wh: Floats
    ) -> Floats:
        """Return what an injected kilowatt-hour saves of levies where accounts export so much then, broadcast."""
        due: Floats = self.levy_micro_per_kwh[account, interval]
        back: Floats = self.levy_back_micro_per_kwh[account, interval]
        return np.where(net_export_wh < 0, due, back)

    @property
    def net_export_wh(self) -> Floats:
        """Expected export minus import of each account before its storages act."""
        return self.solar_wh - self.load_wh


def _by_zone(values: Floats, zone: NDArray[np.int64], n_zones: int) -> Floats:
    """Return the sums over the accounts of each zone, `(n_zones, n_intervals)`."""
    return np.stack([values[zone == z].sum(axis=0) for z in range(n_zones)])


def _mean_by_zone(values: Floats, zone: NDArray[np.int64], n_zones: int) -> Floats:
    """Return the means over the accounts of each zone; the mean over all where a zone has none."""
    chosen = [values[zone == z] for z in range(n_zones)]
    return np.stack([(rows if rows.size else values).mean(axis=0) for rows in chosen])


def _by_account(values: ArrayLike) -> Floats:
    """Let a value per account stand for all intervals."""
    array: Floats = np.asarray(values, dtype=np.float64)
    return array.reshape(-1, 1) if array.ndim == 1 else array
