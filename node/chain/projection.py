"""The accounts as the chain has them, in the store: each mined block applied once, and taken back if it must be.

Rows carry the number of the block of their last change. For blocks that can still be replaced, the rows as they
were before are kept, so that a reorganisation rolls back without replaying the chain.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from market.chunks import Carry, Tariff
from market.ledger import FEES, GRID, AccountState
from market.settlement import Ledger
from node.chain.abi import Event
from node.chain.contracts import Deployment
from node.chain.mirror import Mirror, terms_of
from node.chain.outbox import ANEW
from node.chain.ports import Address, Block, MinedCall
from node.chain.transactions import transaction_data
from node.store.tables_chain import chain_accounts, chain_state, chain_tariffs, chain_undo, outbox

_BY_INTERVAL = ("parked_milli_wh", "curtailed_milli_wh")
_THE_STATE = 1


class Projection:
    """Keeps `chain_accounts`, `chain_tariffs` and `chain_state` in step with one Settlement contract."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._mirror: Mirror | None = None  # None: must be read from the store
        self._changed_at: dict[int, int] = {}  # block of each account's last change
        self._before: dict[int, dict[str, Any] | None] = {}  # rows of what this block changes
        self._connection: Connection | None = None  # the transaction that applies a block

    def apply(
        self,
        connection: Connection,
        block: Block,
        transactions: Sequence[tuple[MinedCall | None, Sequence[Event]]],
        *,
        is_final: bool,
    ) -> None:
        """Apply a block's successful transactions in the caller's database transaction.

        Parameters
        ----------
        transactions : Sequence[tuple[MinedCall | None, Sequence[Event]]]
            In order: the call where it goes to Settlement itself, and what Settlement logged.
        is_final : bool
            Whether the block can no longer be replaced; if not, it can be taken back.

        Raises
        ------
        ProjectionError
            If chain and mirror contradict each other.
        """
        mirror = self._mirror or self._load(connection)
        self._connection = connection
        self._before = {}
        state = _state_row(mirror.ledger)
        try:
            for call, events in transactions:
                mirror.apply(block.timestamp_s, call, events)
        except BaseException:
            self._mirror = None
            raise
        self._changed_at.update(dict.fromkeys(self._before, block.number))
        changed = [self._row(mirror, account) for account in sorted(self._before)]
        published = [
            event.arguments["interval"]
            for _, events in transactions
            for event in events
            if event.name == "TariffsPublished"
        ]
        if not is_final:
            undo = {"state": state, "accounts": list(self._before.items()), "tariffs": published}
            content = json.dumps(undo, default=bytes.hex)
            connection.execute(insert(chain_undo).values(block_number=block.number, content=content))
        self._write(connection, changed, mirror.ledger, block)
        for interval in published:
            table = json.dumps(mirror.ledger.tariffs[interval])
            row = {"interval": interval, "block_number": block.number, "tariffs": table}
            connection.execute(insert(chain_tariffs).values(row))

    def forget(self) -> None:
        """Read the store anew at the next block: the caller's transaction did not go through."""
        self._mirror = None

    def settle_down(self, connection: Connection, final: int) -> None:
        """Drop what is kept to take back blocks that have become final."""
        connection.execute(delete(chain_undo).where(chain_undo.c.block_number <= final))

    def rollback(self, connection: Connection, block: Block) -> bool:
        """Take back every block after this one; False (and nothing done) if that is not kept any more."""
        self._mirror = None
        head = connection.execute(select(chain_state.c.block_number)).scalar()
        if head is None or head <= block.number:
            return True
        newer = select(chain_undo).where(chain_undo.c.block_number > block.number)
        rows = connection.execute(newer.order_by(chain_undo.c.block_number.desc())).all()
        if [row.block_number for row in rows] != list(range(head, block.number, -1)):
            return False
        for row in rows:
            undo = json.loads(row.content)
            connection.execute(delete(chain_tariffs).where(chain_tariffs.c.interval.in_(undo["tariffs"])))
            for account, before in undo["accounts"]:
                connection.execute(delete(chain_accounts).where(chain_accounts.c.account == account))
                if before is not None:
                    owner = before["owner"]
                    before["owner"] = None if owner is None else bytes.fromhex(owner)
                    if before["block_number"] == 0:
                        continue  # GRID and FEES before anything happened to them
                    connection.execute(insert(chain_accounts).values(before))
            connection.execute(update(chain_state).values(undo["state"]))
        connection.execute(update(chain_state).values(block_number=block.number, block_hash=block.hash))
        connection.execute(delete(chain_undo).where(chain_undo.c.block_number > block.number))
        return True

    def clear(self, connection: Connection) -> None:
        """Forget everything, to project from the first block again."""
        self._mirror = None
        for table in (chain_accounts, chain_tariffs, chain_state, chain_undo):
            connection.execute(delete(table))

    # -------------------------------------------------------------- rows

    def _load(self, connection: Connection) -> Mirror:
        roles = self._deployment.roles
        ledger = Ledger(terms_of(self._deployment))
        owners: dict[int, Address] = {GRID: roles.grid, FEES: roles.fees}
        self._changed_at = {}
        for row in connection.execute(select(chain_accounts)):
            ledger.accounts[row.account] = account_of(dict(row._mapping))
            self._changed_at[row.account] = row.block_number
            if row.owner is not None:
                owners[row.account] = row.owner
        state = connection.execute(select(chain_state)).one_or_none()
        if state is not None:
            ledger.next_sequence = state.next_sequence
            ledger.interval, ledger.round = state.interval, state.round
            ledger.prices_micro_per_kwh = None if state.prices is None else tuple(json.loads(state.prices))
            sells, buys = (Carry(bytes.fromhex(tag), filled) for tag, filled in json.loads(state.carries))
            ledger.carries = sells, buys
        for row in connection.execute(select(chain_tariffs)):
            ledger.tariffs[row.interval] = tuple(Tariff(*pair) for pair in json.loads(row.tariffs))
        self._mirror = Mirror(self._deployment, ledger, owners, self._remember, self._planned)
        return self._mirror

    def _planned(self, sequence: int) -> bytes | None:
        """Return the calldata of a chunk in the outbox."""
        assert self._connection is not None  # asked while a block is applied
        anew = outbox.c.ref.like(f"{sequence}{ANEW}%")  # what was sent in its place counts
        query = (
            select(outbox.c.data, outbox.c.raw)
            .where(outbox.c.kind == "chunk", (outbox.c.ref == str(sequence)) | anew)
            .order_by(outbox.c.id.desc())
            .limit(1)
        )
        row = self._connection.execute(query).one_or_none()
        if row is None:
            return None
        return row.data if row.data is not None else transaction_data(row.raw)

    def _remember(self, account: int) -> None:
        """Keep an account's row as it was before this block."""
        if account not in self._before and self._mirror is not None:
            known = account in self._mirror.ledger.accounts
            self._before[account] = self._row(self._mirror, account) if known else None

    def _row(self, mirror: Mirror, account: int) -> dict[str, Any]:
        state = mirror.ledger.accounts[account]
        row: dict[str, Any] = {field.name: getattr(state, field.name) for field in fields(state)}
        for name in _BY_INTERVAL:
            row[name] = json.dumps(row[name])
        row["account"] = account
        row["owner"] = mirror.owners.get(account)
        row["block_number"] = self._changed_at.get(account, 0)
        return row

    @staticmethod
    def _write(connection: Connection, rows: list[dict[str, Any]], ledger: Ledger, block: Block) -> None:
        if rows:
            numbers = [row["account"] for row in rows]
            connection.execute(delete(chain_accounts).where(chain_accounts.c.account.in_(numbers)))
            connection.execute(insert(chain_accounts), rows)
        connection.execute(delete(chain_state))
        values = {"id": _THE_STATE, "block_number": block.number, "block_hash": block.hash}
        connection.execute(insert(chain_state).values({**values, **_state_row(ledger)}))


def account_of(row: Mapping[str, Any]) -> AccountState:
    """Return the account that a row of `chain_accounts` holds."""
    values = {field.name: row[field.name] for field in fields(AccountState)}
    for name in _BY_INTERVAL:
        values[name] = {int(interval): value for interval, value in json.loads(values[name]).items()}
    return AccountState(**values)


def _state_row(ledger: Ledger) -> dict[str, Any]:
    prices = ledger.prices_micro_per_kwh
    return {
        "next_sequence": ledger.next_sequence,
        "interval": ledger.interval,
        "round": ledger.round,
        "prices": None if prices is None else json.dumps(prices),
        "carries": json.dumps([[carry.tag.hex(), carry.filled_milli_wh] for carry in ledger.carries]),
    }
