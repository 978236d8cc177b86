"""Retraining: from deliveries of labelled images to a new champion."""
