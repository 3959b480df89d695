"""What the tests of containers, the edge and monitoring share."""

import signal

# What is asked to stop cleans up as well. This exception alone ends unittest; after any other it
# goes on with the next test.
signal.signal(signal.SIGTERM, signal.default_int_handler)
