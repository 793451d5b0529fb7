"""What people watch the operator and the extender with: alert rules of Prometheus, and a dashboard of Grafana."""
