"""A Lambda function that forwards events from a queue to an HTTP endpoint, one per request.

The queue is its event source, with ReportBatchItemFailures. The environment variable ENDPOINT has the endpoint's address.
It needs nothing but Python.
"""

import os
import sys
import urllib.request

# In seconds. A batch has at most ten events, so the function's time-out should be ten times as long, and the queue's
# visibility time-out six times the function's.
TIMEOUT = 5


def handler(event, _context):
    records = event["Records"]
    for index, record in enumerate(records):
        try:
            forward(record["body"])
        except OSError as error:
            print(f"{record['messageId']} was not accepted: {error}", file=sys.stderr)
            # This record and all later ones are delivered again, which keeps the order within a chat.
            return {"batchItemFailures": [{"itemIdentifier": failed["messageId"]} for failed in records[index:]]}
    return {"batchItemFailures": []}


def forward(body):
    """Raises an OSError if the endpoint cannot be reached or responds with an error."""
    request = urllib.request.Request(os.environ["ENDPOINT"], body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=TIMEOUT).close()
