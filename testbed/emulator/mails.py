"""Mails in MiniStack: their ids are as SES's are.

MiniStack's end in a domain, as the mail's header `Message-ID` does. What SES answers and notifies of has none.
"""

from ministack.services import ses

from pinned import require

require(ses, "_record_send", "_send_notifications")

record_send = ses._record_send
send_notifications = ses._send_notifications


def without_domain(message_id: str) -> str:
    return message_id.partition("@")[0]


ses._record_send = lambda *mail, **more: without_domain(record_send(*mail, **more))
ses._send_notifications = lambda message_id, *mail: send_notifications(without_domain(message_id), *mail)
