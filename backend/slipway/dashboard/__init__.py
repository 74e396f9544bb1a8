"""The pages: they read across the domains and call their use cases; no rule of the product lives here."""
