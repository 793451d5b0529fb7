"""The supply side: nodes as files or an API tell them, and the pools they form."""
