"""Backend-for-frontend auth proxy for Emporix storefronts."""

__version__ = "0.1.0"
