"""The agent's version. The package that is built from these sources adds a digest of them."""

VERSION = "0.1.0"
