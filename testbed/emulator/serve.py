"""MiniStack, with what its version lacks put right. Each module says what it is about."""

# First: what queues does, it does to what backlogs has put in place.
import backlogs  # noqa: F401
import ages  # noqa: F401
import calls  # noqa: F401
import functions  # noqa: F401
import identities  # noqa: F401
import keys_of_requests  # noqa: F401
import mails  # noqa: F401
import queues  # noqa: F401
import roles  # noqa: F401
import schedules  # noqa: F401
import senders  # noqa: F401
import stacks  # noqa: F401
import tables  # noqa: F401

# Last: what is refused, nothing else here gets to see.
import origins  # noqa: F401

from ministack.app import main

if __name__ == "__main__":
    main()
