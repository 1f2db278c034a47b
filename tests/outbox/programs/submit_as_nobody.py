"""Submit a report as the user "nobody", and print the outcome: `python submit_as_nobody.py PATH`."""

import encodings.idna  # noqa: F401 - imported before the change of user, who may not read Python's own files
import os
import sys

from outbox.helpers import put
from xpander_sdk import OutboxError
from xpander_sdk.outbox.outbox import Outbox

NOBODY = 65534

os.setgid(NOBODY)
os.setuid(NOBODY)
try:
    put(Outbox(sys.argv[1]), worker="none")
except OutboxError as error:
    print("OutboxError", error)
except BaseException as error:
    print("unexpected", type(error), error)
else:
    print("stored")
