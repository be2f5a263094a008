"""What can go wrong with an order: one class a fact. The name becomes the code, the base class gives the status."""

from app.core.errors import BusinessRuleViolated, NotFound, ValidationFailed


class OrderNotFound(NotFound):
    """There is no such order."""

    message = "there is no such order"


class ReplacedOrderUnknown(ValidationFailed):
    """The order that is to be replaced does not exist."""

    message = "names an order that does not exist"


class OrderClosed(BusinessRuleViolated):
    """The order has been shipped or cancelled, and changes no more."""

    message = "the order has been shipped or cancelled, and changes no more"
