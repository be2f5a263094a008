"""Bearer tokens: whose are believed, whatever the issuer does."""
