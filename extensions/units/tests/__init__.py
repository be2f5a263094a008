"""Units: what is read, what is refused, and what it costs who does not use them."""
