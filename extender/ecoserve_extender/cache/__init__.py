"""What the extender knows of the cluster: small frozen records, kept current by watches, added up per node."""
