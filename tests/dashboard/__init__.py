"""The dashboard, drawn from a short soak: what Grafana would show, without Grafana."""
