"""Attacking two models with a budget schedule, and looking for gradient masking (protocol, section 6)."""
