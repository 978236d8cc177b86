"""Ensembles: trained strategies that answer together as one model."""
