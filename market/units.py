"""Integer quantities of the market: energy, price, money, and the one identity that joins them.

| quantity | name in code | unit |
|---|---|---|
| energy | `energy_milli_wh` | milli-watt-hour |
| price | `price_micro_per_kwh` | micro-credit per kilowatt-hour, signed |
| money | `amount_pico` | pico-credit |

`price_micro_per_kwh * energy_milli_wh == amount_pico` exactly: 1e-6 credit/kWh times 1e-6 kWh is 1e-12
credit. No division and no rounding occurs anywhere in trade settlement.
"""

from typing import Final, NewType

EnergyMilliWh = NewType("EnergyMilliWh", int)
PriceMicroPerKwh = NewType("PriceMicroPerKwh", int)
AmountPico = NewType("AmountPico", int)

MILLI_WH_PER_WH: Final = 1_000
MILLI_WH_PER_KWH: Final = 1_000_000
MICRO_PER_CREDIT: Final = 1_000_000
PICO_PER_CREDIT: Final = 1_000_000_000_000

# Bounds of the packed words on chain (contracts/Settlement.vy): what the market accepts must fit there.
MAX_QUANTITY_MILLI_WH: Final = 2**39 - 1
MAX_PRICE_MICRO_PER_KWH: Final = 2**38 - 1
MAX_BALANCE_PICO: Final = 2**79 - 1
