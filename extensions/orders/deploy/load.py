"""Callers of the sample slice: four times of five they read, else they place an order. Goes with the slice."""
# locust is in a separate environment (requirements.txt), which `make check` does not see.
# mypy: disable-error-code="import-not-found, misc, untyped-decorator"

from uuid import uuid4

from locust import FastHttpUser, task


class Orders(FastHttpUser):
    """A client that places and changes orders. `needs` is asked for first: a 404 leaves these callers out."""

    needs = "/api/v1/orders"

    def on_start(self) -> None:
        """Have an order to look at."""
        self.placed = ""
        self.place()

    @task(5)
    def look(self) -> None:
        """The order that was placed last."""
        if self.placed:
            self.client.get(self.placed, name=self.needs + "/{order_id}")

    @task(3)
    def list_them(self) -> None:
        """The first page of all orders."""
        self.client.get(self.needs)

    @task(2)
    def place(self) -> None:
        """A new order."""
        lines = [{"sku": "A-1", "quantity": 2, "unit_price": 150}]
        answer = self.client.post(self.needs, json={"reference": f"load-{uuid4().hex}", "lines": lines})
        if answer.headers:
            self.placed = str(answer.headers.get("Location", self.placed))
