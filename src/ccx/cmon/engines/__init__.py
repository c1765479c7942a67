"""One folder per engine; ``get(vendor)`` finds it."""
