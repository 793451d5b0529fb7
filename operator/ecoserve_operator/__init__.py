"""The operator: watches LLMServings, plans their placement and carries it out."""
