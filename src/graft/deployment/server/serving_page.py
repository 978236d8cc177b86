"""The page to drop photographs on: one file, with nothing from elsewhere."""

import base64
import hashlib
import re

from graft.core.html.html_page import render

PAGE = render("deployment/server/serve.html", title="graft: what is on this photograph?")


def _hashes(element: str) -> str:
    blocks = re.findall(rf"<{element}>(.*?)</{element}>", PAGE, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(block.encode()).digest()).decode("ascii") for block in blocks)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


# The browser runs the page's own script and style, named by their hashes, and fetches from this server alone:
# https://www.w3.org/TR/CSP3/
PAGE_POLICY = (
    f"default-src 'none'; script-src {_hashes('script')}; style-src {_hashes('style')}; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
