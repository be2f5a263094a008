"""The metrics, as a scraper of the shipped service sees them."""
