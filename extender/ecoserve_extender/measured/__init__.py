"""What nodes really use: read from metrics.k8s.io or Prometheus, kept for a while, never trusted once it is old."""
