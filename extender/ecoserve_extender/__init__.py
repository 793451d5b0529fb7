"""The scheduler extender: filters and scores nodes by marginal carbon."""
