"""Statistics over finished attacks: fooling curves, bounds, AUC, ρ, intervals."""
