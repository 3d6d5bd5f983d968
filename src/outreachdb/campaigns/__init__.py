"""Campaigns, their steps and mailboxes."""

from outreachdb.campaigns.campaigns import Campaign, CampaignDetails, cancel, create, find, listed, pause, resume, show
from outreachdb.campaigns.file import CampaignFile, load, parse

__all__ = [
    "Campaign",
    "CampaignDetails",
    "CampaignFile",
    "cancel",
    "create",
    "find",
    "listed",
    "load",
    "parse",
    "pause",
    "resume",
    "show",
]
