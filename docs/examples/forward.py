"""A Lambda function that forwards what comes through a queue of one's own to an HTTP endpoint, an object a request.

The queue is its event source, with ReportBatchItemFailures. The endpoint stands in the environment variable ENDPOINT. Needs nothing but Python.
"""

import os
import sys
import urllib.request

# In seconds. A batch has ten objects at most, so the function's time-out should be ten times as long, and the queue's visibility time-out
# six times the function's.
PATIENCE = 5


def handler(event, _context):
    records = event["Records"]
    for place, record in enumerate(records):
        try:
            forward(record["body"])
        except OSError as error:
            print(f"{record['messageId']} was not taken: {error}", file=sys.stderr)
            # This one and all behind it come again, so that nothing overtakes in its room.
            return {"batchItemFailures": [{"itemIdentifier": left["messageId"]} for left in records[place:]]}
    return {"batchItemFailures": []}


def forward(body):
    """Raises an OSError where the endpoint cannot be reached, or answers with an error."""
    request = urllib.request.Request(os.environ["ENDPOINT"], body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=PATIENCE).close()
