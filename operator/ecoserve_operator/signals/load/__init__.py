"""Load measured from engines' metrics in a Prometheus: queries, answers, and what is planned for."""
