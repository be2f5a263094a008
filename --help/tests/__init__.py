"""The tests of the service: `features/` is yours, all else is the template's."""
