"""`make bench`: what the proxy costs, as ratios measured side by side on this machine."""
