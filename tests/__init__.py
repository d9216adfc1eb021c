"""The tests: a module for each of the gateway's, and e2e/ for what needs a real port."""

from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, not about the gateway.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
