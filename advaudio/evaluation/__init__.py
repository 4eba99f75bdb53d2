"""Fooling curves, budgets, bounds, AUC and rho (protocol, section 6)."""
