"""Which opens and clicks a machine made: privacy proxies that fetch all pictures, scanners that follow all links.

Sources: Apple's mail privacy proxy says "Mozilla/5.0" and nothing else
(https://www.mailgun.com/blog/product/bot-detection/); names of scanners
(https://check.live-direct-marketing.online/blog/bot-clicks-security-scanners-detect,
https://suped.com/learn/email-deliverability/how-can-i-identify-bot-user-agents-in-my-email-click-data);
networks: Apple's own, and Barracuda's
(https://campus.barracuda.com/product/emailgatewaydefense/doc/96023004/ip-analysis-inbound/).
Gmail's and Yahoo's picture proxies fetch when a person opens the mail, so they count as people.
"""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address, ip_network

# Nobody reads a mail and clicks within this time of its leaving.
FASTEST_CLICK = timedelta(seconds=5)
APPLE_PROXY = "Mozilla/5.0"
PEOPLE = re.compile(r"GoogleImageProxy|YahooMailProxy", re.IGNORECASE)
MACHINES = re.compile(
    r"""bot\b|crawler|spider|scan(ner)?\b|preview|prefetch|headless|phantomjs|existence\ discovery
    |barracuda|proofpoint|mimecast|ciscosecureemail|ironport|\btmes\b|trendmicro|fortimail|sophos|symantec|fireeye|urldefense
    |python-requests|python-urllib|aiohttp|httpx|curl|wget|libwww-perl|go-http-client|apache-httpclient|okhttp|jetty|^java
    |lua-resty-http|node-fetch|axios|linkexpanding|facebookexternal""",
    re.IGNORECASE | re.VERBOSE,
)
NETWORKS = tuple(map(ip_network, ("17.0.0.0/8", "209.222.80.0/21")))


def is_machine(kind: str, user_agent: str, address: str | None, since_sent: timedelta | None) -> bool:
    """Whether an open or click (``kind``) was a machine's, as far as the request tells."""
    agent = user_agent.strip()
    if PEOPLE.search(agent):
        return False
    if not agent or agent == APPLE_PROXY or MACHINES.search(agent) or _in_known_network(address):
        return True
    return kind == "click" and since_sent is not None and since_sent < FASTEST_CLICK


def _in_known_network(address: str | None) -> bool:
    try:
        given = ip_address(address or "")
    except ValueError:
        return False
    return any(given in network for network in NETWORKS if network.version == given.version)
