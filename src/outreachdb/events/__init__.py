"""Delivery events: provider webhooks, their normal form, and the ingest."""
