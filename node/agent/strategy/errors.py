"""What the strategy refuses, and why.

StrategyError
├── InvalidStorage   storage parameters or a state that no storage can have
├── InvalidOutlook   forecasts, tariffs or prices that no plan can be made from
└── PlanFailed       the solver found no optimum; its own words are in the message
"""


class StrategyError(Exception):
    """Base of all errors of this package."""


class InvalidStorage(StrategyError):
    """Storage parameters or a state that no storage can have; the message names field and first row."""


class InvalidOutlook(StrategyError):
    """Forecasts, tariffs or prices no plan can be made from; the message names field and first row."""


class PlanFailed(StrategyError):
    """The solver found no optimum."""
