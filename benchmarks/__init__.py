"""How fast a generated service is, side by side with what it is compared to."""
