"""HTTP: the application, and what happens to a request and its answer around your routes."""
