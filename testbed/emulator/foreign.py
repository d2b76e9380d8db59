"""Whether a web page has made a request. Used by every server of the testbed that is written in Python."""

# By which this machine is called, with whatever port: in front of a server there may be another.
OWN_NAMES = ("127.0.0.1", "localhost")
# The browser's address line, and the server's own pages.
OWN_SITES = (None, "none", "same-origin")


def is_foreign(headers) -> bool:
    """`headers` by their names in lower case. `Origin` is refused whatever it is: the testbed serves no page that needs it."""
    host = headers.get("host", OWN_NAMES[0]).partition(":")[0].lower()
    return "origin" in headers or host not in OWN_NAMES or headers.get("sec-fetch-site") not in OWN_SITES
