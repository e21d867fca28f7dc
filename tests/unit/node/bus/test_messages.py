"""Messages survive the wire unchanged, and what is no message is refused."""

import pytest

from market.orders import Order
from node.bus.memory import MemoryBus
from node.bus.messages import MeterReading as Reading
from node.bus.messages import (
    OrderBatch,
    ReadingBatch,
    Receipt,
    Receipts,
    Refusal,
    RoundCleared,
    SignedOrder,
    decode,
    encode,
)

ORDER = Order(2, 1, True, 0, 5, 6, 1_000, -30)
MESSAGES = [
    OrderBatch(2, (SignedOrder(ORDER, 2**255 + 1, 2**256 - 1),)),
    Receipts(2, (Receipt("ab" * 32, 7, 1_700_000_000, 1, 2), Refusal("cd" * 32, "margin", "too poor"))),
    RoundCleared(5, 1, 10, (None, -5)),
    ReadingBatch((Reading(2, 5, -12, 1, 2),)),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_message_survives_the_wire(message):
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b"Nonsense {}", "unknown message kind"),
        (b"", "unknown message kind"),
        (b"RoundCleared {}", "interval"),
        (b'RoundCleared {"interval":1.5,"round":0,"volume_milli_wh":0}', "interval"),
        (b"\xff\xfe {}", "unknown message kind"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(raw, hint):
    with pytest.raises(ValueError, match=hint):
        decode(raw)


def test_messages_arrive_in_the_order_of_publishing_also_those_that_handlers_publish():
    bus, seen = MemoryBus(), []

    def answer(message):
        seen.append(message)
        if len(seen) == 1:
            bus.publish("t", MESSAGES[2])

    bus.subscribe("t", answer)
    bus.publish("t", MESSAGES[0])
    bus.publish("t", MESSAGES[1])
    bus.publish("elsewhere", MESSAGES[3])
    assert bus.deliver() == 4
    assert seen == [MESSAGES[0], MESSAGES[1], MESSAGES[2]]
