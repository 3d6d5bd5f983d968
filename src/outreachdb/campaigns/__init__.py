"""Campaigns, their steps and mailboxes, and their launch."""
