"""What each extension costs a request."""
