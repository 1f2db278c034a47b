"""Cost of a run: the tokens of its calls, at the prices of their models at that time.

    model_names   provider and name of the price list, from the names that programs and gateways use
    price_list    price of a model of genai-prices, at one time
    price_table   the same without the library, for most models
    own_prices    prices that an organization has set; they take precedence
    cost          cost of one call, and of several
    run_cost      model and cost of a run, from its response and its tokens

A run without tokens, or with a call of a model without a known price, is unpriced; its cost is None, never zero.
"""

from xpander_server.domain.pricing.cost import MAX_COST, NANODOLLARS, compute_cost, sum_costs
from xpander_server.domain.pricing.own_prices import NO_OWN_PRICES, OwnPrice, OwnPrices
from xpander_server.domain.pricing.price_list import load_prices
from xpander_server.domain.pricing.price_table import PricesNotLoaded
from xpander_server.domain.pricing.run_cost import RunCost, compute_run_cost

__all__ = [
    "MAX_COST",
    "NANODOLLARS",
    "NO_OWN_PRICES",
    "OwnPrice",
    "OwnPrices",
    "PricesNotLoaded",
    "RunCost",
    "compute_cost",
    "compute_run_cost",
    "load_prices",
    "sum_costs",
]
