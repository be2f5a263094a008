"""The tests mirror the service: core/ and extensions/ come with the template, features/ is yours."""
