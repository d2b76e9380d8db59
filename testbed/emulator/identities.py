"""Identities of SES in MiniStack: there is one set of them, whichever version of the API is asked.

MiniStack keeps one for each version: what the first has verified, the second does not know, though it sends as them.
"""

import re

from ministack.services import ses, ses_v2

from pinned import require

require(ses, "_verify_email_identity", "_delete_identity", "_identities", "_p")
require(ses_v2, "_identities", "handle_request")

IDENTITY = re.compile(r"/v2/email/identities/(.+)")

_verify = ses._verify_email_identity
_delete = ses._delete_identity
_handle_v2 = ses_v2.handle_request


def verify(params):
    identity = ses._p(params, "EmailAddress")
    ses_v2._identities.setdefault(identity, {
        "EmailIdentity": identity,
        "IdentityType": "EMAIL_ADDRESS",
        "VerifiedForSendingStatus": True,
        "DkimAttributes": {"SigningEnabled": False, "Status": "NOT_STARTED", "Tokens": []},
    })
    return _verify(params)


def delete(params):
    ses_v2._identities.pop(ses._p(params, "Identity"), None)
    return _delete(params)


async def handle_v2(method, path, *rest):
    match = IDENTITY.fullmatch(path)
    if match and method == "DELETE":
        ses._identities.pop(match.group(1), None)
    return await _handle_v2(method, path, *rest)


ses._verify_email_identity = verify
ses._delete_identity = delete
ses_v2.handle_request = handle_v2
