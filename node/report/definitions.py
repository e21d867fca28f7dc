"""What the figures of a summary mean, with their formulas: shown in the report and on the page.

What every community has comes first, what only some scenarios have last.
"""

from collections.abc import Mapping

from node.report.borrowed import DEFINITIONS as BORROWED_DEFINITIONS
from node.report.control import DEFINITIONS as CONTROL_DEFINITIONS
from node.report.generators import DEFINITIONS as GENERATOR_DEFINITIONS
from node.report.racks import DEFINITIONS as RACK_DEFINITIONS
from node.report.reasons import DEFINITIONS as REASON_DEFINITIONS
from node.report.timeslots import DEFINITIONS as TIMESLOT_DEFINITIONS
from node.report.voltage import DEFINITIONS as VOLTAGE_DEFINITIONS
from node.report.wear import DEFINITIONS as WEAR_DEFINITIONS

DEFINITIONS: Mapping[str, str] = {
    "Energy balance": "Everything that entered the community (solar, supplier, taken from store) against "
    "everything that left it or was used (loads, driving, export, stored, losses). gap = sources - sinks.",
    "Self-sufficiency": "(own generation used at once + own generation used later through storage) / load.",
    "Self-consumption": "(own generation used at once + own generation used later through storage) / own "
    "generation. Storage is credited when it discharges to a local load, in the proportion of own energy in it.",
    "Autarky": "Intervals in which the community imported nothing / all intervals.",
    "Peak import, peak export": "Highest mean power of an interval at the community's border, and the change "
    "against the reference without a market.",
    "Supplier-only bill": "What the member would pay if there were no market: same devices, load and sun; "
    "home batteries serve the own household, cars charge on arrival. Import at the supplier's price plus levies, "
    "export at the feed-in price.",
    "Market bill": "Paid minus received for fills (fee included), imbalance and grid events, plus levies on "
    "metered import; connections with nothing but storage owe them on import less what they fed back, where the "
    "scenario says so. Levies are not due on an island.",
    "Saving": "Supplier-only bill minus market bill, with its sign. 'Stored more' is what the member's "
    "storages hold at the end beyond the reference: it is paid for and not counted as a saving.",
    "Jain index of savings": "(sum x)^2 / (n sum x^2) over the signed savings x of all n members: 1 if all "
    "save the same.",
    "Gains from trade": "sum of bought x limit - sold x limit over all fills, and who has them: buyers limit - price - "
    "fee, sellers price - fee - limit, the operator its fee, the grid account rent and grid fees. The best possible is "
    "a bound that no exchange of the same orders can exceed: at any prices, what all would gain by trading freely at "
    "them and every edge by carrying all it can.",
    "Concentration (HHI)": "sum of squared shares of what was sold (bought), by account: 1 is one seller alone.",
    "Budget gap": "What members received for fills plus what operator and grid account got; exact integers.",
    "Grid fees, congestion rent": "In a network auction buyers pay more than sellers receive where energy crosses "
    "edges: the fee of each edge times the energy, and the rest of the difference of its ends' prices, which only a "
    "full edge has. Both go to the grid account.",
    "Wishes": "What members with a wish bought, and how much of it came from the partner, the group or the source "
    "they prefer. Wishes are honoured where they cost nobody anything: among the energy that meets at the same "
    "node of the network anyway, and without any change to fills or prices.",
    "Imbalance share": "sum |imbalance| / (sum |imbalance| + 2 x bought).",
    "Gas per fill": "Gas of all settlement chunks, readings included, divided by the number of fills.",
    "Island": "A part of the network that lost its supply, until its switch closed again. 'Served' is what its loads "
    "got of what they wanted in that time, by priority. Bills count what was not served as not bought, and the "
    "reference keeps its supply: on a day with an outage a saving says little.",
    **CONTROL_DEFINITIONS,
    **REASON_DEFINITIONS,
    **RACK_DEFINITIONS,
    **BORROWED_DEFINITIONS,
    **GENERATOR_DEFINITIONS,
    **TIMESLOT_DEFINITIONS,
    **VOLTAGE_DEFINITIONS,
    **WEAR_DEFINITIONS,
}
