"""The page to drop photographs on: one file, with nothing from elsewhere."""

from graft.core.html.html_page import page_policy, render

PAGE = render("deployment/server/serve.html", title="graft: what is on this photograph?")
PAGE_POLICY = page_policy(PAGE)
