"""Settings of every test: hypothesis's profiles, one event loop for the whole session, no traffic but loopback's."""

import os
import signal
import threading

from hypothesis import HealthCheck, settings

settings.register_profile("default", max_examples=60, deadline=None)
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "soak", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default"))

if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in the background of a shell has it ignored, and so would have the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
