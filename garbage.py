"""How often Python looks for garbage: to import this module says it.

To be imported before what is large. Modules are made of containers that stay, and Python's own threshold has all of
them looked through again and again while they are made: a tenth of the time from nothing to a service that is ready.
"""

import gc

CONTAINERS = 20_000  # made before young ones are looked through; Python's 700 are those of five requests

gc.set_threshold(CONTAINERS, *gc.get_threshold()[1:])
