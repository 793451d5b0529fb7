"""What the API server tells: small frozen records of objects, the world they form, and kopf's handlers."""
