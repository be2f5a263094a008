"""The errors of orders: one class for each fact. The base class gives the status, `code` is the name for clients."""

from app.core.errors import BusinessRuleViolated, NotFound, ValidationFailed


class OrderNotFound(NotFound):
    """There is no such order."""

    code = "order_not_found"
    message = "there is no such order"


class ReplacedOrderUnknown(ValidationFailed):
    """The order that is to be replaced does not exist."""

    code = "replaced_order_unknown"
    message = "names an order that does not exist"


class OrderClosed(BusinessRuleViolated):
    """The order was shipped or cancelled, and changes no more."""

    code = "order_closed"
    message = "the order has been shipped or cancelled, and changes no more"
