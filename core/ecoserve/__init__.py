"""EcoServe's domain: carbon, performance, workload and fleet models, and the planner over them."""
