"""The bundle's form: the same content is the same bytes, and no other bytes are a bundle."""

import json
from contextlib import suppress
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.audit.bundle import FORMAT, decode, encode, file_name
from node.audit.line_text import BundleError
from node.audit.lines import (
    FillLine,
    Head,
    Network,
    OrderLine,
    Pico,
    PriceLine,
    ReadingLine,
    TariffLine,
)

HEAD = Head(FORMAT, 7, 1_848, bytes(range(20)))
NETWORK = Network(("root", "connection:sun", "connection:shade"), (-1, 0, 0), (2, 3), (1, 2), (0, 1), (2, 0))
TARIFF = TariffLine(0, 255_000, 78_600)
ORDER = OrderLine(4, bytes(32), 2, 1, False, 0, 7, 9, 500, -3, 1, 3, 0, bytes(64), 1_000, bytes(64))
FILL = FillLine(0, 4, 2, False, 0, 500, 100, Pico(-(2**78)))
READING = ReadingLine(7, 3, -(2**54), False, bytes(64))
RECORDS = [HEAD, NETWORK, TARIFF, ORDER, FILL, READING]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


@st.composite
def records(draw: st.DrawFn) -> list:
    """Any records of the kinds with the most fields, with distinct keys."""
    number = st.integers(-(2**70), 2**70)
    drawn: list = [HEAD, NETWORK]
    for kind, template in ((OrderLine, ORDER), (FillLine, FILL), (ReadingLine, READING)):
        keys = draw(st.lists(st.integers(0, 99), unique=True, max_size=5))
        for key in keys:
            changes = {kind.key[-1]: key}
            for field in fields(kind):
                if field.name not in kind.key and isinstance(getattr(template, field.name), int):
                    is_flag = isinstance(getattr(template, field.name), bool)
                    is_pico = field.name == "amount_pico"
                    values = st.booleans() if is_flag else number
                    drawn_value = draw(values)
                    changes[field.name] = Pico(drawn_value) if is_pico else drawn_value
            drawn.append(replace(template, **changes))
    return draw(st.permutations(drawn))


@given(records())
def test_what_is_encoded_is_decoded_whatever_the_order_it_came_in(given_records) -> None:
    data = encode(given_records)
    found = decode(data)
    every = [found.head, found.network, *found.orders, *found.fills, *found.readings]
    assert sorted(every, key=repr) == sorted(given_records, key=repr)
    assert encode(every) == data


@given(st.data())
def test_no_other_bytes_say_the_same(data) -> None:
    """A byte is exchanged for any other: it is refused, or it says something else."""
    encoded = encode(RECORDS)
    at = data.draw(st.integers(0, len(encoded) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != encoded[at]))
    bent = encoded[:at] + bytes([byte]) + encoded[at + 1 :]
    with suppress(BundleError):
        assert decode(bent) != decode(encoded)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'"zone":0', b'"zone": 0', "line 3: tariff (zone 0) is not in the one form"),
        (b'"zone":0', b'"zone":0,"zone":0', "line 3: tariff (zone 0) is not in the one form"),
        (b'"zone":0', b'"zone":0.0', "line 3: zone is 0.0: no integer"),
        (b'"zone":0', b'"zone":true', "line 3: zone is true: no integer"),
        (b'"zone":0', b'"zone":null', "line 3: zone is null: no integer"),
        (b'"zone":0', b'"zona":0', "fields missing or unknown: ['zona', 'zone']"),
        (b'"kind":"tariff"', b'"kind":"tarif"', "line 3: of no known kind"),
        (b'"kind":"tariff"', b'"kind":["tariff"]', "line 3: of no known kind"),
        (b'"is_buy":false', b'"is_buy":0', "line 4: is_buy is 0: no true or false"),
        (b'"is_substitute":false', b'"is_substitute":"no"', "is_substitute is"),
        (b'"-302231454903657293676544"', b"-302231454903657293676544", "amount_pico is -3022"),
        (b'"-302231454903657293676544"', b'"-0"', "not in the one form"),
        (b'"-302231454903657293676544"', b'"' + b"9" * 40 + b'"', "no decimal text"),
        (b'"settlement":"0x00', b'"settlement":"0X00', "settlement is"),
        (b'"settlement":"0x000102', b'"settlement":"0x0001zz', "settlement is"),
        (b"connection:sun", b"connection:\xff\xff\xff", "line 2: a byte that is no UTF-8"),
        (b'"format":2', b'"format":1', "format 1: this version reads 2"),
        (b'"parent":[-1,0,0]', b'"parent":[-1,0,2]', "parents must stand before their children"),
        (b'"parent":[-1,0,0]', b'"parent":[-1,-1,0]', "not one root"),
        (b'"parent":[-1,0,0]', b'"parent":[-1,0]', "different lengths"),
        (b'"parent":[-1,0,0]', b'"parent":[-1,0,false]', "parent is"),
        (b'"account":[2,3]', b'"account":[3,2]', "hangs nowhere, or stands twice"),
        (b'"node":[1,2]', b'"node":[1,3]', "hangs nowhere, or stands twice"),
        (b'"lines":6', b'"lines":7', "6 lines stand above, the last says 7"),
        (b'{"kind":"end"', b'["kind","end"', "line 7: no JSON"),
    ],
)
def test_another_form_is_refused_with_its_line(old, new, expected) -> None:
    data = encode(RECORDS)
    assert old in data
    with pytest.raises(BundleError) as refused:
        decode(data.replace(old, new, 1))
    assert expected in str(refused.value)


def test_lines_out_of_order_twice_or_missing_are_refused() -> None:
    whole = lines(encode(RECORDS))
    cases = [
        (whole[:1] + whole[2:], "5 lines stand above, the last says 6"),
        (whole[:-1], "no last line that counts the others"),
        ([*whole[:3], whole[2], *whole[3:]], "line 4: a second tariff (zone 0)"),
        ([whole[1], whole[0], *whole[2:]], "line 2: line of kind interval stands after line of kind network"),
        ([*whole, whole[-1]], "line 8: a second line of kind end"),
        ([*whole, whole[2]], "line 8: tariff (zone 0) stands after line of kind end"),
    ]
    for told, expected in cases:
        with pytest.raises(BundleError) as refused:
            decode(b"".join(told))
        assert expected in str(refused.value)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"[" * 100_000 + b"\n", b"\xff\n", b'{"kind":"end","lines":0}\n']
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        decode(data)


def test_a_head_is_needed() -> None:
    with pytest.raises(BundleError, match="there is no line of kind interval"):
        decode(encode([NETWORK]))
    with pytest.raises(BundleError, match="there is no line of kind network"):
        decode(encode([HEAD]))


def test_an_integer_of_a_million_digits_is_refused_not_computed() -> None:
    data = encode(RECORDS).replace(b'"zone":0', b'"zone":' + b"9" * 1_000_000)
    with pytest.raises(BundleError, match="line 3: no JSON"):
        decode(data)


def test_money_is_text_and_prices_may_be_missing() -> None:
    price = PriceLine(0, 0, None, None, 5)
    data = encode([*RECORDS, price])
    assert decode(data).prices == (price,)
    fill = json.loads(next(line for line in lines(data) if b'"kind":"fill"' in line))
    assert fill["amount_pico"] == "-302231454903657293676544"


def test_names_of_files_sort_as_intervals_do() -> None:
    assert file_name(7) == "00000007.jsonl"
    assert file_name(2**24 - 1) == "16777215.jsonl"
